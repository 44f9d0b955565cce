"""Whatever happens in whatever order: what the sequence batcher promises, held against a simple account of each sequence."""

from dataclasses import dataclass, field
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.sequence_driver import FILLER, MS, Driver
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.errors import TisError
from tis.scheduler.decisions import Run

IDLE_MS = 100
WORKERS = (100, 101)

specs = st.builds(
    SequenceBatcherSpec,
    max_idle_us=st.just(IDLE_MS * 1000),
    oldest=st.booleans(),
    max_candidate_sequences=st.sampled_from([0, 1, 3]),
    max_queue_delay_us=st.sampled_from([0, 3000]),
    minimum_slot_utilization=st.sampled_from([0.0, 0.5, 1.0]),
    preferred_batch_sizes=st.sampled_from([(), (2,)]),
)
numbers = st.integers(1, 5)
steps = st.one_of(
    st.tuples(st.just("send"), numbers, st.sampled_from(["start", "start", "", "", "", "end", "only"])),
    st.tuples(st.just("send"), numbers, st.sampled_from(["start", "", "", ""])),
    st.tuples(st.just("run")),
    st.tuples(st.just("turn")),
    st.tuples(st.just("done"), st.sampled_from(WORKERS)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("pass"), st.sampled_from([1, 3, 40, 99, 100])),
    st.tuples(st.just("die"), st.sampled_from(WORKERS)),
    st.tuples(st.just("up"), st.sampled_from(WORKERS)),
)


@dataclass(eq=False)
class Known:
    """What is known of a sequence from outside."""

    number: int
    requests: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    received_ns: int = 0
    begun_ns: int = 0
    open: bool = True  # neither ended nor cancelled nor lost with its instance
    place: tuple[int, int] | None = None  # worker and slot, once it has begun


class Account:
    """Does things to a driver and checks what comes of them."""

    def __init__(self, spec: SequenceBatcherSpec, slots: int) -> None:
        self.spec = spec
        self.driver = Driver(spec, slots=slots, workers=())
        self.most = (spec.max_candidate_sequences or max(slots, 1)) if spec.oldest else max(slots, 1)
        self.alive: set[int] = set()
        self.peers = count(1000)
        self.peer_of: dict[int, int] = {}
        self.live: dict[int, Known] = {}
        self.all: list[Known] = []
        self.of: dict[str, Known] = {}
        self.flying: dict[int, list[list[str]]] = {}
        self.runs: dict[int, list[Run]] = {}
        self.finished: set[str] = set()
        for worker in WORKERS:
            self.up(worker)

    def up(self, worker: int) -> None:
        if worker not in self.alive:
            self.alive.add(worker)
            self.peer_of[worker] = next(self.peers)
            self.driver.scheduler.instance_up(self.peer_of[worker])

    def send(self, number: int, kind: str) -> None:
        driver = self.driver
        name = f"{number}.{len(self.of)}"
        known = self.live.get(number)
        if known is not None and known.open and not self._is_certain(known):
            return  # when it got its slot is not to be seen from here
        start, end = kind in ("start", "only"), kind in ("end", "only")
        try:
            driver.send(name, number, start=start, end=end)
            accepted = True
        except TisError:
            accepted = False
        if start:
            assert accepted, "a START is always taken"
        elif known is None or not known.open:
            assert not accepted
        else:
            assert accepted == (not self._has_idled(known))
        if not accepted:
            self.live.pop(number, None)
            return
        if known is None or not known.open or self._has_idled(known):
            known = self.live[number] = Known(number)
            self.all.append(known)
        known.requests.append(name)
        known.received_ns = driver.now_ns
        known.open = not end
        self.of[name] = known

    def _is_certain(self, known: Known) -> bool:
        idle_since_ns = max(known.received_ns, known.begun_ns)
        has_idled = known.place is not None and self.driver.now_ns - idle_since_ns >= IDLE_MS * MS
        return has_idled or not self._has_idled(known)

    def _has_idled(self, known: Known) -> bool:
        return self.driver.now_ns - known.received_ns >= IDLE_MS * MS

    def run(self) -> None:
        refused = set(self.driver.refused)
        for decision in self.driver.scheduler.dispatch(self.driver.now_ns):
            assert isinstance(decision, Run), "nothing has a timeout"
            self._handed_over(decision)
        assert set(self.driver.refused) == refused

    def _handed_over(self, run: Run) -> None:
        names = self.driver.named(run)
        assert len([name for name in names if name != FILLER]) <= max(self.driver.spec.max_batch_size, 1)
        assert any(name != FILLER for name in names)
        busy = {self.of[name] for batch in self.flying.get(run.peer, []) for name in batch if name != FILLER}
        for at, name in enumerate(names):
            if name == FILLER:
                assert not self.spec.oldest
                continue
            slot = self.driver.requests[name].slot
            known = self.of[name]
            assert known not in busy, "one request of a sequence at a time"
            busy.add(known)
            if not self.spec.oldest:
                assert slot == at, "the slot is the place in the batch"
            assert 0 <= slot < self.most
            assert known.place in (None, (run.peer, slot)), "a sequence stays where it is"
            if known.place is None:
                known.place, known.begun_ns = (run.peer, slot), self.driver.now_ns
            waiting = [each for each in known.requests if each not in known.taken and each not in self.driver.refused]
            assert waiting[0] == name, "in the order in which they came"
            known.taken.append(name)
        if not self.spec.oldest:
            assert not self.flying.get(run.peer), "the last batch has ended"
        self.flying.setdefault(run.peer, []).append(names)
        self.runs.setdefault(run.peer, []).append(run)

    def done(self, worker: int) -> None:
        peer = self.peer_of[worker]
        if worker in self.alive and self.runs.get(peer):
            self.driver.running[peer] = self.runs[peer].pop(0)
            self.flying[peer].pop(0)
            self.finished |= {name for name in self.driver.done(peer) if name != FILLER}

    def turn(self) -> None:
        self.run()
        for worker in WORKERS:
            self.done(worker)
        self.run()

    def cancel(self, position: int) -> None:
        flying = {name for batches in self.flying.values() for batch in batches for name in batch}
        waiting = [name for name in self.of if name not in self.driver.refused and name not in self.finished | flying]
        if not waiting:
            return
        name = waiting[position % len(waiting)]
        known = self.of[name]
        before = set(self.driver.refused)
        self.driver.cancel(name)
        dropped = set(self.driver.refused) - before
        behind = set(known.requests[known.requests.index(name) :]) - before
        assert behind <= dropped <= set(known.requests)
        if known.place is not None:
            assert dropped == behind
        known.open = False

    def die(self, worker: int) -> None:
        if worker not in self.alive:
            return
        self.alive.discard(worker)
        peer = self.peer_of[worker]
        flying = {name for batch in self.flying.pop(peer, []) for name in batch if name != FILLER}
        self.runs.pop(peer, None)
        waiting = {
            name
            for known in self.all
            if known.place is not None and known.place[0] == peer
            for name in known.requests
            if name not in known.taken and name not in self.driver.refused
        }
        before = set(self.driver.refused)
        self.driver.die(peer)
        assert set(self.driver.refused) - before == flying | waiting, "exactly its own"
        for known in self.all:
            if known.place is not None and known.place[0] == peer:
                known.open = False

    def settle(self) -> None:
        """In the end every request has been answered once."""
        for worker in WORKERS:
            self.up(worker)
        for _ in range(3 * len(self.of) + 3):
            self.driver.pass_ms(IDLE_MS)
            self.run()
            for worker in WORKERS:
                self.done(worker)
                self.done(worker)
        assert self.driver.scheduler.queued == 0
        assert self.finished | set(self.driver.refused) == set(self.of)
        assert not self.finished & set(self.driver.refused)
        self.driver.run()
        assert self.driver.wake_ms() is None


@settings(max_examples=250, deadline=None)
@given(specs, st.integers(0, 3), st.lists(steps, min_size=25, max_size=100))
def test_no_request_is_lost_reordered_or_run_beside_another_of_its_sequence(
    spec: SequenceBatcherSpec, slots: int, actions: list[tuple[object, ...]]
) -> None:
    account = Account(spec, slots)
    for name, *arguments in actions:
        if name == "pass":
            account.driver.pass_ms(arguments[0])  # type: ignore[arg-type]
        else:
            getattr(account, str(name))(*arguments)
    account.settle()
