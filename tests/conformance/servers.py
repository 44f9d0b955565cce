"""The servers that cases go to, by name: their models and flags; and the reference's process."""

import http.client
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.conformance.ensembles import ENSEMBLES
from tests.conformance.repository import DECOUPLED, FEW, MODELS, STEPS
from tests.harness.bls_models import BLS_ENSEMBLES, BLS_MODELS
from tests.harness.python_models import PYTHON_MODELS
from tests.harness.server import HOST, READY_DEADLINE_S
from tests.harness.waiting import eventually


@dataclass(frozen=True)
class Kind:
    """What a server is started with."""

    models: tuple[str, ...]
    flags: tuple[str, ...] = ()


SERVERS: Final[dict[str, Kind]] = {
    "main": Kind(tuple(MODELS)),
    "decoupled": Kind(tuple(DECOUPLED)),
    "python": Kind(tuple(PYTHON_MODELS)),
    "bls": Kind((*(BLS_MODELS.keys() - {"bls_itself", "bls_kept"}), *BLS_ENSEMBLES)),
    "explicit": Kind(
        FEW,
        ("--model-control-mode=explicit", "--load-model=simple"),
    ),
    "restricted": Kind(
        FEW,
        (
            "--http-restricted-api=inference:h-infer=secret",
            "--http-restricted-api=metadata,statistics:h-look=open",
            "--http-restricted-api=health:h-health=well",
            "--grpc-restricted-protocol=inference:g-infer=secret",
            "--grpc-restricted-protocol=metadata,statistics:g-look=open",
            "--grpc-restricted-protocol=health:g-health=well",
        ),
    ),
    "ensembles": Kind(
        (*ENSEMBLES, *STEPS, "batched", "gather", "id_fp32", "labelled", "strings", "versioned"),
        ("--exit-on-error=false",),
    ),
    "traced": Kind(FEW, ("--trace-config=triton,file=/dev/null", "--trace-config=rate=1000000")),
}


@contextmanager
def reference(program: Path, repository: Path, kind: Kind, port: int, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """The genuine server on `port` (HTTP), `port` + 1 (gRPC) and `port` + 2, ready to be asked."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                f"--model-repository={repository}",
                *(f"--{name}-port={port + index}" for index, name in enumerate(("http", "grpc", "metrics"))),
                *kind.flags,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        eventually(lambda: process.poll() is not None or _answers(port), "the reference answers", READY_DEADLINE_S)
        if process.poll() is not None:
            raise RuntimeError(f"the reference ended:\n{log.read_text(errors='replace')[-4000:]}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/v2/health/live", headers={"Connection": "close"})
        return bool(connection.getresponse().status)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
