"""The limit of open files is raised as far as it goes, and told of where that is not far. In processes of their own."""

import subprocess
import sys

import pytest

_SCRIPT = """
import resource, sys
from tis.supervisor.file_limit import raise_file_limit
from tis.log import configure
from tis.settings import LogSettings
configure(LogSettings())
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_file_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(64, 300), (300, 300), (256, 5000)])
def test_the_soft_limit_becomes_the_hard_one_and_a_small_one_is_told_of(soft: int, hard: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(soft), str(hard)], capture_output=True, text=True, check=True, timeout=60
    )
    assert f"{hard} ({hard}, {hard})" in done.stdout
    told = f"a process may have {hard} files open, so a frontend takes at most about {hard * 3 // 4} connections"
    assert (told in done.stdout + done.stderr) == (hard < 4096)
