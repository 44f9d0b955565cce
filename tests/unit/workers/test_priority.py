"""A model's priority as the operating system sees it, with the right to lower nice values and without."""

import os

import pytest

from tis_workers.priority import set_priority


class Nice:
    """A process's nice value, and the right to lower it."""

    def __init__(self, value: int, *, privileged: bool) -> None:
        self.value = value
        self.privileged = privileged

    def get(self, _which: int, _who: int) -> int:
        return self.value

    def set(self, _which: int, _who: int, value: int) -> None:
        if value < self.value and not self.privileged:
            raise PermissionError
        self.value = value


@pytest.mark.parametrize(
    ("priority", "before", "privileged", "after", "logged"),
    [
        ("DEFAULT", 3, True, 3, False),
        ("MIN", 0, False, 19, False),
        ("MAX", 3, True, -2, False),
        ("MAX", 3, False, 3, True),
    ],
)
def test_a_priority_is_what_the_operating_system_allows(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    priority: str,
    before: int,
    privileged: bool,
    after: int,
    logged: bool,
) -> None:
    nice = Nice(before, privileged=privileged)
    monkeypatch.setattr(os, "getpriority", nice.get)
    monkeypatch.setattr(os, "setpriority", nice.set)
    for is_first in (True, False):
        nice.value = before
        set_priority("m", priority, is_first=is_first)
        assert nice.value == after
    assert ["PRIORITY_MAX has no effect" in record.message for record in caplog.records] == [True] * logged
