"""`--host-policy`: on which cores, and with memory of which NUMA node, instances run that bear the policy's name.

Pure reading of what the operator wrote, in the words of Triton's core, which reads it when an instance is made: a policy
that no instance bears is never looked at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tis.contracts.model_spec import InstanceSpec
from tis.errors import invalid

#: More than any kernel counts.
_MOST_CORES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """What a policy asks for; None for what it leaves alone."""

    cores: frozenset[int] | None = None
    node: int | None = None


def policy_name(instance: InstanceSpec) -> str:
    """The policy that an instance is under: that of its group, else Triton's name for its kind."""
    if instance.host_policy:
        return instance.host_policy
    return f"gpu_{instance.device_id}" if instance.kind == "GPU" else instance.kind.lower()


def by_name(given: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """The settings of each policy, from (policy, setting, value) in the order given; the last one counts."""
    policies: dict[str, dict[str, str]] = {}
    for policy, setting, value in given:
        policies.setdefault(policy, {})[setting] = value
    return policies


def host_policy(settings: Mapping[str, str]) -> HostPolicy:
    """What the settings of one policy say.

    Raises:
        TisError: INVALID_ARG for what is no list of cores and no node.
    """
    cores, node = settings.get("cpu-cores"), settings.get("numa-node")
    return HostPolicy(
        None if cores is None else _cores(cores), None if node is None else _number("numa-node", node, _MOST_CORES)
    )


def _cores(text: str) -> frozenset[int]:
    """`0-3,8`; a single core without a dash is beyond Triton, which wants `8-8`."""
    cores: set[int] = set()
    for part in text.split(","):
        low_text, dash, high_text = part.partition("-")
        low = _number("cpu-cores", low_text, _MOST_CORES)
        high = _number("cpu-cores", high_text, _MOST_CORES) if dash else low
        if high < low:
            raise invalid(
                "host policy setting 'cpu-cores' format is '<lower_cpu_core_id>-<upper_cpu_core_id>'. Got " + part
            )
        cores |= set(range(low, high + 1))
    return frozenset(cores)


def _number(setting: str, text: str, limit: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(limit)) or int(text) >= limit:
        raise invalid(f"Parsing '{setting}' value: Can't parse '{text}' to integer")
    return int(text)
