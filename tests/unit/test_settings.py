"""Settings are plain data with Triton's defaults."""

import msgspec
import pytest

from tis.settings import LogSettings, ServerSettings


def test_settings_survive_the_way_to_another_process() -> None:
    settings = ServerSettings(model_repositories=("/models",), backend_config=(("", "k", "v"),), log_format="ISO8601")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(settings), type=ServerSettings) == settings


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)])
def test_frontends_follow_the_cores_unless_asked_for(cores: int, count: int) -> None:
    assert ServerSettings().frontend_count(cores) == count
    assert ServerSettings(frontends=5).frontend_count(cores) == 5


def test_the_log_part_carries_every_log_setting() -> None:
    settings = ServerSettings(
        log_verbose=2, log_info=False, log_warning=False, log_error=False, log_format="ISO8601", log_file="f"
    )
    assert settings.log == LogSettings(verbose=2, info=False, warning=False, error=False, format="ISO8601", file="f")
