"""A pinned process runs on its cores and takes its node's memory from its first line on, with every thread."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.pinned import core_list, cores_of, may_bind_memory

PROGRAM = """
import os, sys, threading
seen = []
thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
thread.start(); thread.join()
print(sorted(os.sched_getaffinity(0)), sorted(seen[0]), sys.argv[1:], __name__)
print("bind:0" in open("/proc/self/numa_maps").read() if os.path.exists("/proc/self/numa_maps") else None)
"""


def run(tmp_path: Path, *pins: str) -> list[str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    words = [sys.executable, "-P", "-m", "tis.pinned", *pins, "program", "--flag=1", "--cores=7"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path})
    return done.stdout.splitlines()


@given(st.sets(st.integers(0, 300)))
def test_lists_of_cores_say_what_they_mean(cores: set[int]) -> None:
    assert cores_of(core_list(cores)) == cores


def test_lists_of_cores_are_short() -> None:
    assert core_list([3, 0, 1, 2, 8, 10, 11]) == "0-3,8,10-11"


def test_the_process_and_its_threads_have_the_cores_and_the_arguments_reach_the_module(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    assert run(tmp_path, f"--cores={core}")[0] == f"[{core}] [{core}] ['--flag=1', '--cores=7'] __main__"


@pytest.mark.skipif(not may_bind_memory(), reason="this kernel does not let processes choose their memory's node")
@pytest.mark.skipif(not Path("/proc/self/numa_maps").exists(), reason="this kernel does not show where memory is")
def test_the_process_takes_its_memory_from_the_node(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert run(tmp_path, "--node=0") == [f"{cores} {cores} ['--flag=1', '--cores=7'] __main__", "True"]
    assert run(tmp_path, f"--cores={cores[0]}")[1] == "False"
