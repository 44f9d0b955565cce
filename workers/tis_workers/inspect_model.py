"""Loads one model file for those who only want to know what it says of itself: `tis check --load` and `tis config --load`.

A process of its own, since a model file may do anything to the process that loads it. It gets a `LoadModel` on standard input
and writes a `Loaded` or `LoadFailed` to the file descriptor that its argument names; standard output belongs to the model.
"""

import os
import sys
import traceback

from tis.contracts import messages as m
from tis.errors import TisError, internal
from tis_workers.backends import load_backend
from tis_workers.backends.base import LoadContext


def _answer(order: m.LoadModel) -> m.Message:
    instance = order.spec.instances[order.instance]
    context = LoadContext(order.spec, instance, threads=1, complete=order.complete, config_json=order.config_json)
    try:
        backend = load_backend(context)
        return m.Loaded(0, backend.signature(), backend.proposed_config())
    except TisError as error:
        return m.LoadFailed(0, error.code, error.message)
    except Exception as error:  # noqa: BLE001 - whatever a model file makes a framework do is an answer
        told = internal(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        return m.LoadFailed(0, told.code, told.message)


def main() -> None:
    """Load what standard input says, and tell what came of it."""
    (order,) = m.decode(sys.stdin.buffer.read())
    if not isinstance(order, m.LoadModel):
        raise TypeError(f"expected an order to load, got {type(order).__name__}")
    answer = _answer(order)
    with os.fdopen(int(sys.argv[1]), "wb") as out:
        out.write(m.encode([answer]))
    # Threads of a model, or of its framework, must not keep the caller waiting.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
