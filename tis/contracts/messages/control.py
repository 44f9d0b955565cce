"""Control: the life of processes and models, between the supervisor and everybody."""

import msgspec

from tis.contracts.messages.base import PROTOCOL_VERSION, Message
from tis.contracts.model_spec import InstanceSpec, ModelSignature, ModelSpec
from tis.settings import ServerSettings


class Hello(Message, tag=20):
    """A child's first word."""

    peer: int
    pid: int
    protocol_version: int = PROTOCOL_VERSION


class Boot(Message, tag=21):
    """The answer to a hello: what the child needs to begin."""

    settings: ServerSettings
    #: Ranges of the pool: offset and size in bytes.
    grants: tuple[tuple[int, int], ...] = ()
    #: The scheduler's peer id.
    scheduler: int = 0
    #: How many threads a worker's model should use.
    threads: int = 1


class Warmup(Message):
    """An execution of a warm-up sample: items, and when it began, had its inputs, had its outputs and had ended."""

    items: int
    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    end_ns: int


class Up(Message, tag=22):
    """The child does its work now."""

    peer: int
    #: What a worker has run already, to warm its model up.
    warmups: tuple[Warmup, ...] = ()


class TableEntry(Message):
    """A model version and its state."""

    spec: ModelSpec
    ready: bool
    #: False while a version that is ready has no instance up: its requests wait until one is started again.
    live: bool = True


class IndexEntry(Message):
    """A line of the repository index: a model version, or version 0 for a model that has none."""

    #: The model's identifier; for clients, its name.
    name: str
    version: int = 0
    #: READY, LOADING, UNLOADING or UNAVAILABLE; empty for a model that is in a repository and was never loaded.
    state: str = ""
    reason: str = ""


class Table(Message, tag=23):
    """The model table: every version that is served or known, under a rising epoch. Replaces the one before."""

    epoch: int
    models: tuple[TableEntry, ...]
    #: Identifiers of models that are known but have no version to serve, with the reason.
    unavailable: tuple[tuple[str, str], ...] = ()
    #: Everything that the repositories hold and what it is in, by name and version.
    index: tuple[IndexEntry, ...] = ()
    #: Models that had to go before they come again: the name, and the version that comes.
    awaited: tuple[tuple[str, int], ...] = ()
    #: Where repositories are namespaces: the identifiers of the models that a name may mean; else empty.
    names: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


class FollowTable(Message, tag=80):
    """From a worker whose model asks others: send it the table, now and whenever it changes. It does not say what it sees."""

    peer: int


class ServerState(Message, tag=24):
    """Whether the server as a whole is ready, and whether it is on its way out."""

    ready: bool
    stopping: bool = False


class LoadModel(Message, tag=25):
    """To a worker: load this model version as this instance and say what the file holds."""

    spec: ModelSpec
    instance: int  # position in spec.instances
    #: False once the config is complete, or must be as it is: then the model is not asked to complete it.
    complete: bool = True
    #: For a Python model: the config as JSON.
    config_json: str = ""


class Loaded(Message, tag=26):
    """From a worker: the model is loaded; None where the format says nothing of inputs and outputs."""

    peer: int
    signature: ModelSignature | None
    #: The whole config as the model wants it, as JSON (`auto_complete_config`); empty where it does not say.
    proposed: str = ""


class LoadFailed(Message, tag=27):
    """From a worker: the model cannot be loaded. It exits after saying so."""

    peer: int
    code: str
    text: str


class ServeModel(Message, tag=28):
    """To a worker: the completed specification; take batches from now on."""

    spec: ModelSpec
    #: For a Python model: the config as JSON.
    config_json: str = ""


class TableSeen(Message, tag=50):
    """From the scheduler and frontends: the table of this epoch holds here, and nothing older is acted on any more."""

    peer: int
    epoch: int


class Prepare(Message, tag=55):
    """To the scheduler: a load that is not in the table yet, whose instances will come."""

    spec: ModelSpec


class Retire(Message, tag=51):
    """To the scheduler: no request will name this load any more; say when those that did are through."""

    load: int
    #: Another load has taken its place: requests that name that one go on with the sequences that this one has begun.
    has_successor: bool = False


class Retired(Message, tag=52):
    """From the scheduler, once at least: nothing of this load waits or runs; or, at first, that something still does."""

    peer: int
    load: int
    is_over: bool = True


class InstanceUp(Message, tag=29):
    """To the scheduler: this worker takes batches for this model version."""

    peer: int
    model: str
    version: int
    #: Which instance of the specification it is, and of which load.
    instance: int = 0
    load: int = 0
    warmups: tuple[Warmup, ...] = ()
    #: What it is, where that is not in the specification which the scheduler was told.
    spec: InstanceSpec | None = None


class RetireInstance(Message, tag=70):
    """To the scheduler: give this instance nothing new; say when it has nothing left."""

    instance: int


class InstanceRetired(Message, tag=71):
    """From the scheduler, once: an instance that it was told to retire has nothing left, or is not known here."""

    peer: int
    instance: int


class PeerDown(Message, tag=30):
    """To everybody: this process has died or has been stopped; nothing will come from it or be read by it any more."""

    peer: int
    reason: str = ""
    #: To workers: whether it was one that had memory of its own, of which whoever asked it may hold answers.
    lent: bool = False


class PeerForgotten(Message, tag=39):
    """To workers: nobody reads any more what they have lent to this dead peer or what it has handed on."""

    peer: int


class SchedulerChanged(Message, tag=31):
    """To frontends and workers: a new scheduler; everything the old one held is lost."""

    peer: int


class GrantRequest(Message, tag=32):
    """Ask for another range of the pool."""

    peer: int
    size_bytes: int


class GrantReply(Message, tag=33):
    """A range of the pool, or None where there is none left."""

    grant: tuple[int, int] | None


class GrantReturn(Message, tag=64):
    """From a worker: ranges of the pool in which nothing of it is taken any more, and which it no longer uses."""

    peer: int
    grants: tuple[tuple[int, int], ...]


class Heartbeat(Message, tag=34):
    """From the working loop of a child, not from a side thread: it turns, and this much of its slab is taken."""

    peer: int
    used_bytes: int = 0
    pending: int = 0
    #: From a frontend: answers that came for requests given up before, since it began.
    late_answers: int = 0
    #: From the scheduler: instances that have something to do, and since when in nanoseconds they have run their batch; 0
    #: where no batch of theirs runs and only requests of earlier ones are still to be answered.
    running: tuple[tuple[int, int], ...] = ()


class Quiesced(Message, tag=35):
    """A process holds and awaits nothing of a dead peer any more, so the peer's slab may be granted anew."""

    peer: int
    gone: int


class Drain(Message, tag=36):
    """Accept nothing new; answer `Drained` when nothing is left."""


class Drained(Message, tag=37):
    """Nothing is in flight here any more."""

    peer: int


class Stop(Message, tag=38):
    """Exit now, in order."""
