"""Priority levels and what they do with requests that are too many or wait too long. Only the rules, no requests.

The rules are Triton's (`ModelQueuePolicy`). The default scheduler, of models without `dynamic_batching`, knows none of this.
"""

from tis.contracts.messages import Wishes
from tis.contracts.scheduling_spec import DynamicBatcherSpec, QueuePolicySpec
from tis.errors import Code, TisError
from tis.scheduler.queued import QueuedRequest


class QueueFullError(TisError):
    """A request found as many of its level waiting as may wait. Counted in no statistic, as in Triton."""

    def __init__(self) -> None:
        super().__init__(Code.UNAVAILABLE, "Exceeds maximum queue size")


class QueuePolicies:
    """The levels of a queue and the policy of each. Level 1 is served first; a queue without levels is all level 0."""

    def __init__(self, spec: DynamicBatcherSpec) -> None:
        self._levels = spec.priority_levels
        self._default_level = spec.default_priority_level if spec.priority_levels else 0
        self._default_policy = spec.default_policy
        self._policies = spec.level_policies if spec.priority_levels else {}

    @classmethod
    def of(cls, spec: DynamicBatcherSpec | None) -> "QueuePolicies | None":
        """The policies that a model asks for; None where it asks for nothing that a plain queue does not do."""
        if spec is None:
            return None
        plain = spec.default_policy
        if not spec.priority_levels and not plain.max_queue_size and not plain.default_timeout_us:
            # An `allow_timeout_override` alone has no effect: there is no default that it could shorten.
            return None
        return cls(spec)

    def level(self, wishes: Wishes | None) -> int:
        """The level of a request: its priority where there is such a level, else the default one."""
        if wishes is not None and 0 < wishes.priority <= self._levels:
            return wishes.priority
        return self._default_level

    def policy(self, level: int) -> QueuePolicySpec:
        """The policy of a level."""
        return self._policies.get(level, self._default_policy)

    def deadline_ns(self, request: QueuedRequest, policy: QueuePolicySpec) -> int | None:
        """Until when a request may wait; None for ever. Its own `timeout` counts only where it is the shorter one."""
        timeout_us = policy.default_timeout_us
        wishes = request.infer.wishes
        if policy.allow_timeout_override and wishes is not None and 0 < wishes.timeout_us < timeout_us:
            timeout_us = wishes.timeout_us
        return request.enqueued_ns + timeout_us * 1000 if timeout_us else None
