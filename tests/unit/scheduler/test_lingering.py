"""Which load a request of a sequence goes to while a model is loaded anew."""

import msgspec

from tis.contracts import messages as m
from tis.contracts.model_spec import InstanceSpec, ModelSpec, TensorSpec
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.scheduler.decisions import Run
from tis.scheduler.model import ModelScheduler
from tis.scheduler.queued import QueuedRequest
from tis.scheduler.registry import Registry

IDLE_NS = 1_000_000_000
OLD = ModelSpec(
    "m",
    1,
    "",
    "onnxruntime",
    4,
    (TensorSpec("A", "FP32", (1,)),),
    (),
    sequences=SequenceBatcherSpec(),
    instances=(InstanceSpec("m_0", "CPU"),),
    load=1,
)
NEW = msgspec.structs.replace(OLD, load=2)


class Bench:
    """A registry with an old load, which has a sequence 7 under way, and a new one that is to take its place."""

    def __init__(self, new: ModelSpec = NEW) -> None:
        self.registry = Registry(ModelScheduler)
        self.ids = 0
        self.registry.follow(m.Table(1, (m.TableEntry(OLD, True),)))
        self.registry.instance_up(1, 11, 0)
        self.ask(7, load=1, start=True)
        self.registry.follow(m.Table(2, (m.TableEntry(new, True),)))
        self.registry.instance_up(2, 12, 0)

    def ask(self, sequence: int, *, load: int = 2, start: bool = False, end: bool = False, now_ns: int = 0) -> int:
        """Send a request, run it, and give the load that has run it."""
        self.ids += 1
        wishes = m.Wishes(sequence_id=sequence, sequence_start=start, sequence_end=end)
        infer = m.Infer(self.ids, 3, "m", 1, 1, b"", now_ns, msgspec.Raw(b"\x90"), wishes, load=load)
        model = self.registry.find(infer)
        list(model.add(QueuedRequest(infer, now_ns), now_ns))
        [run] = list(model.dispatch(now_ns))
        assert isinstance(run, Run)
        model.done(m.BatchDone(run.batch.batch_id, run.peer, now_ns, now_ns, now_ns, now_ns), now_ns)
        return model.spec.load

    def retire(self, *, has_successor: bool = True) -> None:
        self.registry.retire(1, has_successor=has_successor)
        self.gone()

    def gone(self) -> bool:
        return any(is_over for _ in range(3) for _, is_over in self.registry.retired())


def test_a_sequence_under_way_stays_with_the_load_that_has_its_state() -> None:
    bench = Bench()
    bench.retire()
    assert bench.ask(7) == 1
    assert bench.ask(8, start=True) == 2
    assert bench.ask(8) == 2
    assert not bench.gone()
    assert bench.ask(7, end=True) == 1
    assert bench.gone()
    assert not bench.registry._lingering


def test_what_begins_anew_does_so_on_the_new_load_and_stays_there() -> None:
    bench = Bench()
    bench.retire()
    assert bench.ask(7, start=True) == 2
    assert bench.ask(7) == 2


def test_a_sequence_that_idles_lets_its_load_go_without_anybody_asking() -> None:
    bench = Bench()
    bench.retire()
    old = bench.registry.of_load(1)
    assert old is not None
    wake_ns = old.wake_ns(0)
    assert wake_ns == IDLE_NS
    list(old.dispatch(wake_ns))
    assert bench.gone()


def test_without_a_successor_a_load_is_gone_at_once() -> None:
    bench = Bench()
    bench.registry.retire(1)
    assert bench.gone()


def test_a_request_that_was_checked_against_other_inputs_is_not_handed_back() -> None:
    other = msgspec.structs.replace(NEW, inputs=(TensorSpec("B", "FP32", (1,)),))
    bench = Bench(other)
    bench.retire()
    infer = m.Infer(9, 3, "m", 1, 1, b"", 0, msgspec.Raw(b"\x90"), m.Wishes(sequence_id=7), load=2)
    assert bench.registry.find(infer).spec.load == 2
