"""Memory that a worker has freed is there for its next batch, with no help from the kernel."""

import os
import subprocess
import sys

import pytest

_FAULTS = """
import resource
import numpy as np
from tis_workers.heap import keep_freed_memory

keep_freed_memory()

def batch():
    tensors = [np.ones(150_000, np.float32) for _ in range(16)]
    np.concatenate(tensors)

batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_FAULTS_OF_A_BATCH = 2 * 16 * 600_000 // 4096


def _faults(**environment: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", _FAULTS]
    return int(subprocess.run(command, env=clean | environment, capture_output=True, check=True, timeout=60).stdout)


def test_a_batch_like_one_before_faults_in_no_memory() -> None:
    assert _faults() < _FAULTS_OF_A_BATCH


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072")],
)
def test_what_the_operator_says_of_the_heap_holds(name: str, value: str) -> None:
    assert _faults(**{name: value}) > 10 * _FAULTS_OF_A_BATCH
