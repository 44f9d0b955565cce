"""What `--backend-config` says of backends."""

import pytest

from tis.settings import ServerSettings
from tis.supervisor.backend_settings import default_max_batch_size, tell_moot


def test_the_largest_batch_is_that_of_the_backend_or_of_all() -> None:
    settings = ServerSettings(
        backend_config=(
            ("", "default-max-batch-size", "8"),
            ("mine", "default-max-batch-size", "2"),
            ("mine", "k", "9"),
        )
    )
    sizes = [default_max_batch_size(settings, backend) for backend in ("mine", "other")]
    assert (sizes, default_max_batch_size(ServerSettings(), "mine")) == ([2, 8], 4)


def test_a_setting_without_a_meaning_is_accepted_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tell_moot(ServerSettings(backend_config=(("python", "shm-default-byte-size", "1048576"), ("python", "other", "1"))))
    (told,) = caplog.messages
    assert told.startswith(
        "--backend-config=python,shm-default-byte-size=1048576 has no effect: tensors lie in the one pool"
    )
