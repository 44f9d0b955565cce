"""All sequences of a model version: which are alive, have a slot, wait for one. Pure logic; the clock is an argument.

The rules are Triton's (sequence_batch_scheduler): a sequence is bound to a slot of an instance until it ends; without a free
slot whole sequences wait in the order in which they began. What an instance runs next is its lane's to say.
"""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count

from tis.contracts.messages import Wishes
from tis.contracts.model_spec import ModelSpec
from tis.contracts.scheduling_spec import SequenceBatcherSpec
from tis.errors import TisError
from tis.log import get_logger
from tis.scheduler.instances import Instance, Instances
from tis.scheduler.queued import QueuedRequest, Refusal
from tis.scheduler.sequences import refusals
from tis.scheduler.sequences.direct import DirectLane
from tis.scheduler.sequences.due import DueLanes
from tis.scheduler.sequences.lane import Lane
from tis.scheduler.sequences.oldest import OldestLane
from tis.scheduler.sequences.sequence import Sequence, wishes_of
from tis.scheduler.sequences.slots import FreeSlots
from tis.scheduler.wakeups import Wakeups

_log = get_logger(__name__)


class SequenceQueue:
    """The requests of sequences; see `request_queue.py` for what is promised."""

    def __init__(self, spec: ModelSpec, sequences: SequenceBatcherSpec) -> None:
        self._spec = spec
        self._sequences = sequences
        self._idle_ns = sequences.max_idle_us * 1000
        self._lane_numbers = count()
        self._own_ids = count(1)
        self._lanes: dict[Instance, Lane] = {}
        #: Sequences that further requests may join, by correlation id.
        self._live: dict[int | str, Sequence] = {}
        self._free = FreeSlots()
        #: Lanes whose instances are to go.
        self._closing: set[Lane] = set()
        #: Sequences without a slot; the first to begin is the first to get one.
        self._backlog: OrderedDict[Sequence, None] = OrderedDict()
        #: The sequence of every request that waits or runs.
        self._of: dict[QueuedRequest, Sequence] = {}
        self._waiting = 0
        #: When sequences with a slot have idled enough, and when those without one have waited enough.
        self._idling: Wakeups[Sequence] = Wakeups()
        self._deadlines: Wakeups[Sequence] = Wakeups()
        self._due = DueLanes()
        #: Its load is retired, and goes when the sequences that it has begun are over.
        self._is_last = False
        #: To be given out by `expire`.
        self._refused: list[Refusal] = []

    def __len__(self) -> int:
        return self._waiting

    def has(self, sequence_id: int | str) -> bool:
        """True where a further request may join the sequence of this correlation id."""
        return sequence_id in self._live

    def linger(self) -> None:
        """From now on sequences that have idled enough end without anybody else wanting their slots."""
        self._is_last = True

    @property
    def lingers(self) -> bool:
        """True while a load that should go has sequences that further requests may join."""
        return self._is_last and bool(self._live)

    # ---- requests --------------------------------------------------------------------------------------------------

    def add(self, request: QueuedRequest, now_ns: int) -> None:
        """Let a request join its sequence, or begin one.

        Raises:
            TisError: INVALID_ARG in Triton's words for more than one item, no correlation id, no START.
        """
        self._settle(now_ns)
        name = self._spec.name
        if request.infer.batch_size > 1:
            raise refusals.several_items(name)
        self._identify(request)
        wishes = wishes_of(request)
        sequence = self._live.get(wishes.sequence_id)
        if sequence is not None and wishes.sequence_start and sequence.lane is not None and sequence.lane.closing:
            # What begins anew need not keep an instance that is to go.
            self._close(sequence)
            self._release_if_over(sequence, now_ns)
            sequence = None
        if sequence is None:
            if not wishes.sequence_start:
                raise refusals.no_start(name, wishes.sequence_id)
            sequence = Sequence(wishes.sequence_id)
            self._live[sequence.id] = sequence
            self._backlog[sequence] = None
        elif wishes.sequence_start:
            _log.warning(
                "sequence %s for model '%s' has a conflict. The previous sequence did not end before this sequence start. "
                "Previous sequence will be terminated early.",
                sequence.id,
                name,
            )
        self._join(sequence, request, wishes, now_ns)

    def _identify(self, request: QueuedRequest) -> None:
        """Check that a request has a correlation id; one for an iterative model gets its own and a START."""
        wishes = request.infer.wishes
        if wishes is not None and wishes.sequence_id:
            return
        if not self._sequences.iterative:
            raise refusals.no_correlation_id(self._spec.name)
        sequence_id = next(number for number in self._own_ids if number not in self._live)
        priority, timeout_us = (wishes.priority, wishes.timeout_us) if wishes is not None else (0, 0)
        request.told = Wishes(priority, timeout_us, sequence_id, sequence_start=True)

    def _join(self, sequence: Sequence, request: QueuedRequest, wishes: Wishes, now_ns: int) -> None:
        sequence.requests.append(request)
        self._of[request] = sequence
        self._waiting += 1
        if wishes.sequence_end:
            self._close(sequence)
        lane = sequence.lane
        if lane is not None:
            self._watch_idling(sequence, now_ns)
            lane.arrived(sequence, now_ns)
            self._due.note(lane)
            return
        if wishes.timeout_us:
            deadline_ns = now_ns + wishes.timeout_us * 1000
            if sequence.deadline_ns is None or deadline_ns < sequence.deadline_ns:
                sequence.deadline_ns = deadline_ns
                self._deadlines.set(sequence, deadline_ns)
        self._place(now_ns)

    def withdraw(self, request: QueuedRequest, now_ns: int) -> list[Refusal]:
        """The sequence ends where the cancelled request is: those before it still run, those behind it do not."""
        sequence = self._of.get(request)
        if sequence is None:
            self._refused = [each for each in self._refused if each.request is not request]
            return []
        lane = sequence.lane
        self._close(sequence)
        dropped: list[QueuedRequest] = []
        while sequence.requests:
            last = sequence.requests.pop()
            dropped.append(last)
            # Without a slot nothing of a sequence has run, and nothing of a cancelled one will.
            if last is request and lane is not None:
                break
        if lane is not None:
            lane.withdrawn(sequence, request, now_ns)
            self._due.note(lane)
        else:
            self._leave_backlog(sequence)
        self._release_if_over(sequence, now_ns)
        return [
            Refusal(each, refusals.cancelled_before())
            for each in self._forgotten(reversed(dropped))
            if each is not request
        ]

    def expire(self, now_ns: int) -> list[Refusal]:
        """End sequences that have idled for too long; refuse whole sequences that had to wait for a slot for too long."""
        self._settle(now_ns)
        refused, self._refused = self._refused, []
        for sequence in self._deadlines.due(now_ns):
            self._close(sequence)
            self._leave_backlog(sequence)
            refused += self._refuse_all(sequence, refusals.waited_too_long())
        return refused

    def drain(self) -> list[QueuedRequest]:
        """End all sequences: the model version is going away."""
        everything = [refusal.request for refusal in self._refused]
        self._refused.clear()
        for sequence in dict.fromkeys((*self._of.values(), *self._live.values())):
            self._close(sequence)
            self._leave_backlog(sequence)
            everything += self._forgotten(sequence.requests)
            sequence.requests.clear()
        for lane in self._lanes.values():
            lane.clear()
            self._due.note(lane)
            for occupant in lane.occupants:
                if occupant is not None:
                    self._release_if_over(occupant, 0)
        return everything

    # ---- batches ---------------------------------------------------------------------------------------------------

    def next_batch(self, instances: Instances, now_ns: int) -> tuple[Instance, list[QueuedRequest]] | None:
        """What a lane that is due has to run."""
        found = self._due.next(instances, now_ns)
        if found is None:
            return None
        lane, batch = found
        for request in batch:
            if not request.is_filler:
                self._taken(request, now_ns)
        return lane.instance, batch

    def _taken(self, request: QueuedRequest, now_ns: int) -> None:
        sequence = self._of[request]
        self._waiting -= 1
        sequence.begun = True
        sequence.running += 1
        self._release_if_over(sequence, now_ns)

    def wake_ns(self, instances: Instances, now_ns: int) -> int | None:  # noqa: ARG002 - lanes know their instances
        """When a lane is due, a sequence has waited too long for its slot, or one that keeps others waiting has idled."""
        if self._refused:
            return now_ns
        idling = self._idling.next_ns() if self._backlog or self._closing or self._is_last else None
        # Lanes are looked at by `next_batch`, which is not called while nothing waits.
        due = self._due.next_ns() if self._waiting else None
        moments = (due, self._deadlines.next_ns(), idling)
        return min((moment for moment in moments if moment is not None), default=None)

    def ended(self, instance: Instance, requests: list[QueuedRequest], again: list[QueuedRequest], now_ns: int) -> None:
        """The next requests of these sequences may run. Those of iterative sequences run again, or end theirs."""
        lane = self._lanes[instance]
        rescheduled = set(again)
        real = [request for request in requests if not request.is_filler]
        over = []
        for request in real:
            sequence = self._of.pop(request)
            sequence.running -= 1
            if request in rescheduled and self._runs_again(request):
                self._rejoin(sequence, request, now_ns)
            elif self._sequences.iterative:
                self._close(sequence)
                over.append(sequence)
        lane.ended(real, now_ns)
        for sequence in over:
            self._release_if_over(sequence, now_ns)
        self._due.note(lane)

    def _runs_again(self, request: QueuedRequest) -> bool:
        """Whether a request that its model wants to see again may be run; else it is refused."""
        if request.cancelled:
            self._refused.append(Refusal(request, refusals.cancelled()))
        elif not self._sequences.iterative:
            self._refused.append(Refusal(request, refusals.not_iterative(self._spec.name)))
        else:
            return True
        return False

    def _rejoin(self, sequence: Sequence, request: QueuedRequest, now_ns: int) -> None:
        """A request goes to the head of its sequence, from now on without flags."""
        wishes = wishes_of(request)
        request.told = Wishes(wishes.priority, wishes.timeout_us, wishes.sequence_id)
        request.enqueued_ns = now_ns
        sequence.requests.appendleft(request)
        self._of[request] = sequence
        self._waiting += 1

    # ---- instances -------------------------------------------------------------------------------------------------

    def instance_added(self, instance: Instance) -> None:
        """Its slots are free. Who gets them is decided by `expire`, which is always called before the next batch."""
        if instance.spec.passive:
            return
        kind = OldestLane if self._sequences.oldest else DirectLane
        lane = self._lanes[instance] = kind(instance, next(self._lane_numbers), self._spec, self._sequences)
        self._free.add_lane(lane)

    def instance_retired(self, instance: Instance) -> None:
        """Sequences that have a slot there keep it until they end; no other gets one."""
        lane = self._lanes.get(instance)
        if lane is not None:
            lane.closing = True
            self._closing.add(lane)
            self._free.remove_lane(lane)

    def is_bound(self, instance: Instance) -> bool:
        """True while a sequence has a slot there."""
        lane = self._lanes.get(instance)
        return lane is not None and any(occupant is not None for occupant in lane.occupants)

    def instance_removed(self, instance: Instance, now_ns: int) -> list[Refusal]:
        """Sequences that it has begun end with it; others wait for another slot, before all that came later."""
        lane = self._lanes.pop(instance, None)
        if lane is None:
            return []
        self._free.remove_lane(lane)
        self._closing.discard(lane)
        self._due.forget(lane)
        for batch in instance.batches:
            for request in batch.requests:
                sequence = self._of.pop(request, None)
                if sequence is not None:
                    sequence.running -= 1
        refused: list[Refusal] = []
        unbegun: list[Sequence] = []
        for sequence in lane.occupants:
            if sequence is None:
                continue
            sequence.lane, sequence.slot = None, -1
            self._idling.set(sequence, None)
            if not sequence.begun:
                unbegun.append(sequence)
                continue
            self._close(sequence)
            refused += self._refuse_all(sequence, refusals.instance_died(self._spec.name, sequence.id, self._sequences))
        for sequence in sorted(unbegun, key=lambda each: each.requests[0].enqueued_ns, reverse=True):
            self._backlog[sequence] = None
            self._backlog.move_to_end(sequence, last=False)
            self._deadlines.set(sequence, sequence.deadline_ns)
        self._place(now_ns)
        return refused

    # ---- sequences -------------------------------------------------------------------------------------------------

    def _settle(self, now_ns: int) -> None:
        """Bring everything up to this moment."""
        for sequence in self._idling.due(now_ns):
            self._close(sequence)
            self._release_if_over(sequence, now_ns)
        self._place(now_ns)

    def _place(self, now_ns: int) -> None:
        """Give free slots to the sequences that wait."""
        while self._backlog and self._free:
            sequence, _ = self._backlog.popitem(last=False)
            self._deadlines.set(sequence, None)
            lane, slot = self._free.take()
            lane.occupants[slot] = sequence
            sequence.lane, sequence.slot = lane, slot
            self._watch_idling(sequence, now_ns)
            lane.arrived(sequence, now_ns)
            self._due.note(lane)

    def _watch_idling(self, sequence: Sequence, now_ns: int) -> None:
        """It idles from now on: a request of it has come, or it has got its slot.

        Triton counts from its last request even then, and ends what waited long within 50 ms of its slot unless the client
        is quicker. An iterative sequence lives as long as its request.
        """
        if not sequence.closed and not self._sequences.iterative:
            self._idling.set(sequence, now_ns + self._idle_ns)

    def _close(self, sequence: Sequence) -> None:
        """No further request joins it."""
        sequence.closed = True
        self._idling.set(sequence, None)
        if self._live.get(sequence.id) is sequence:
            del self._live[sequence.id]

    def _release_if_over(self, sequence: Sequence, now_ns: int) -> None:
        """Free the slot of a sequence when its last request has been taken; of an iterative one, when that has ended."""
        lane = sequence.lane
        if lane is None or not sequence.closed or sequence.requests or (self._sequences.iterative and sequence.running):
            return
        lane.occupants[sequence.slot] = None
        if not lane.closing:
            self._free.free(lane, sequence.slot)
        sequence.lane, sequence.slot = None, -1
        self._place(now_ns)

    def _leave_backlog(self, sequence: Sequence) -> None:
        self._backlog.pop(sequence, None)
        self._deadlines.set(sequence, None)

    def _refuse_all(self, sequence: Sequence, error: TisError) -> list[Refusal]:
        refused = [Refusal(request, error) for request in self._forgotten(sequence.requests)]
        sequence.requests.clear()
        return refused

    def _forgotten(self, requests: Iterable[QueuedRequest]) -> list[QueuedRequest]:
        """These waiting requests will not run."""
        forgotten = list(requests)
        self._waiting -= len(forgotten)
        for request in forgotten:
            del self._of[request]
        return forgotten
