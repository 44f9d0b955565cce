"""How long the slow model takes: measured once on this machine, so that tests ask for milliseconds."""

import functools
import time
from typing import Final

import numpy as np
import onnxruntime as ort

from tests.harness.models import slow

_SAMPLE_ROUNDS: Final = 1000


@functools.cache
def _ns_a_round() -> float:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(slow().proto().SerializeToString(), options, providers=["CPUExecutionProvider"])
    best_ns = float("inf")
    for _ in range(20):
        # Of this thread only: what else the machine does must not make rounds look long.
        began_ns = time.thread_time_ns()
        session.run(None, {"ROUNDS": np.array([[_SAMPLE_ROUNDS]])})
        best_ns = min(best_ns, time.thread_time_ns() - began_ns)
    return best_ns / _SAMPLE_ROUNDS


def rounds(duration_ms: float) -> int:
    """Rounds that take at least this long on an idle core; on a busy one they take longer."""
    return int(duration_ms * 1e6 / _ns_a_round())
