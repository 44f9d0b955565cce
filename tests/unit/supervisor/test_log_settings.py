"""A client changes the log of the whole server: every process hears of it, and those that start later, too."""

from collections.abc import Iterator

import pytest

from tis import log
from tis.contracts import messages as m
from tis.errors import Code, TisError
from tis.settings import LogSettings, ServerSettings
from tis.supervisor.log_settings import LogKeeper


@pytest.fixture
def told() -> list[m.Message]:
    return []


@pytest.fixture
def keeper(told: list[m.Message]) -> Iterator[LogKeeper]:
    settings = LogSettings()
    log.configure(settings, capture_foreign=False)
    yield LogKeeper(settings, told.append)
    log.configure(settings, capture_foreign=False)


def test_what_is_not_mentioned_stays(keeper: LogKeeper, told: list[m.Message]) -> None:
    keeper.change(m.ChangeLog(1, 1, {"verbose": 2}))
    keeper.change(m.ChangeLog(2, 1, {"info": False, "format": "ISO8601"}))
    now = LogSettings(verbose=2, info=False, format="ISO8601")
    assert keeper.settings == now
    assert told == [m.LogChanged(LogSettings(verbose=2)), m.LogChanged(now)]
    assert log.get_logger("tis").getEffectiveLevel() == log.verbose(2)


def test_a_process_that_starts_gets_the_log_of_today_and_else_what_the_operator_asked_for(keeper: LogKeeper) -> None:
    keeper.change(m.ChangeLog(1, 1, {"warning": False}))
    asked = ServerSettings(server_id="x", log_file="")
    assert keeper.merged(asked) == ServerSettings(server_id="x", log_warning=False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"file": "/tmp/x"}, Code.UNSUPPORTED), ({"format": "xml"}, Code.INVALID_ARG), ({"info": 3}, Code.INVALID_ARG)],
)
def test_a_change_that_cannot_be_made_changes_nothing(
    keeper: LogKeeper, told: list[m.Message], changes: dict[str, bool | int | str], code: Code
) -> None:
    changes["verbose"] = 5
    with pytest.raises(TisError) as raised:
        keeper.change(m.ChangeLog(1, 1, changes))
    assert raised.value.code is code
    assert keeper.settings == LogSettings()
    assert told == []
