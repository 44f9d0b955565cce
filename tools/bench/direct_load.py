"""One client of `tools/bench/direct`, a process of its own: asks an identity again and again, tensors in shared memory.

It prints a line when it is ready, waits for one, and then prints as JSON how many microseconds each request took, a list for
each size of tensor. Several sizes take turns: what the machine does beside meets all of them alike. Clients of both servers
are Python programs that make their tensors once; NVIDIA's also make their requests once.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

_WARMUP: Final = 20
_TURN_NS: Final = 20_000_000


@dataclass(frozen=True)
class Load:
    """What a client does."""

    #: `zmq`, `zmq-in-place` (the output where the input is), `http`, `grpc`: with NVIDIA's clients.
    way: str
    address: str
    model: str
    tensor_bytes: int
    #: How long each size is asked for.
    seconds: float
    #: Whether a first dimension of 1 goes before the tensor's own.
    is_batched: bool = False
    #: Whether tensors lie in shared memory; else they travel in messages.
    is_shared: bool = True
    #: Sizes that take turns with `tensor_bytes`.
    others_bytes: tuple[int, ...] = ()

    def sizes(self) -> "list[Load]":
        """The load of each size."""
        return [replace(self, tensor_bytes=size, others_bytes=()) for size in (self.tensor_bytes, *self.others_bytes)]

    def values(self) -> Any:
        """The tensor that is sent, and expected back."""
        values = np.arange(self.tensor_bytes // 4, dtype=np.float32)
        return values[np.newaxis] if self.is_batched else values

    def to_json(self) -> str:
        """For the process's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Load":
        """What `to_json` made."""
        fields = json.loads(text)
        return cls(**fields | {"others_bytes": tuple(fields["others_bytes"])})


def main() -> int:
    """Run the load that the command line says."""
    load = Load.from_json(sys.argv[1])
    with ExitStack() as stack:
        prepare = _direct if load.way.startswith("zmq") else _nvidia
        asks = [prepare(each, stack) for each in load.sizes()]
        for ask in asks:
            for _ in range(_WARMUP):
                ask()
        print("ready", flush=True)
        sys.stdin.readline()
        took_us = _take_turns(asks, int(load.seconds * 1e9))
    print(json.dumps(took_us))
    return 0


def _take_turns(asks: list[Callable[[], None]], each_ns: int) -> list[list[int]]:
    took_us: list[list[int]] = [[] for _ in asks]
    turn_ns = _TURN_NS if len(asks) > 1 else each_ns
    for _ in range(max(1, each_ns // turn_ns)):
        for ask, took in zip(asks, took_us, strict=True):
            now_ns = time.perf_counter_ns()
            end_ns = now_ns + turn_ns
            while now_ns < end_ns:
                began_ns = now_ns
                ask()
                now_ns = time.perf_counter_ns()
                took.append((now_ns - began_ns) // 1000)
    return took_us


def _direct(load: Load, stack: ExitStack) -> Callable[[], None]:
    from tis.client import Client

    client = stack.enter_context(Client(load.address))
    values = load.values()
    array = values
    if load.is_shared:
        array = client.empty(values.shape, np.float32)
        array[:] = values
    inputs = {"INPUT0": array}
    outputs = {"OUTPUT0": array} if load.way == "zmq-in-place" else None
    with client.infer(load.model, inputs, outputs=outputs) as result:
        _check(result["OUTPUT0"], values)

    def ask() -> None:
        client.infer(load.model, inputs, outputs=outputs).release()

    return ask


def _nvidia(load: Load, stack: ExitStack) -> Callable[[], None]:
    import tritonclient.grpc
    import tritonclient.http
    import tritonclient.utils.shared_memory as shm

    module: Any = tritonclient.http if load.way == "http" else tritonclient.grpc
    client = stack.enter_context(module.InferenceServerClient(load.address))
    values = load.values()
    tensor = module.InferInput("INPUT0", list(values.shape), "FP32")
    output = module.InferRequestedOutput("OUTPUT0")
    if not load.is_shared:
        tensor.set_data_from_numpy(values)
        _check(client.infer(load.model, [tensor], outputs=[output]).as_numpy("OUTPUT0"), values)
    else:
        name = f"tis-bench-{os.getpid()}"
        region = shm.create_shared_memory_region(name, f"/{name}", 2 * load.tensor_bytes)
        stack.callback(shm.destroy_shared_memory_region, region)
        client.register_system_shared_memory(name, f"/{name}", 2 * load.tensor_bytes)
        stack.callback(client.unregister_system_shared_memory, name)
        shm.set_shared_memory_region(region, [values])
        tensor.set_shared_memory(name, load.tensor_bytes)
        output.set_shared_memory(name, load.tensor_bytes, load.tensor_bytes)
        client.infer(load.model, [tensor], outputs=[output])
        _check(shm.get_contents_as_numpy(region, np.float32, list(values.shape), load.tensor_bytes), values)

    def ask() -> None:
        client.infer(load.model, [tensor], outputs=[output])

    return ask


def _check(came: Any, sent: Any) -> None:
    if not np.array_equal(came, sent):
        raise ValueError("the answer is wrong")


if __name__ == "__main__":
    sys.exit(main())
