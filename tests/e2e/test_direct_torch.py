"""torch tensors into and out of `tis.client`, without a copy where they lie in shared memory."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.direct import address_of, zmq_flag
from tests.harness.native_models import write_identity
from tests.harness.server import Server, serving
from tis.client import Client, StaleError

torch = pytest.importorskip("torch", reason="torch is not installed")

TYPES = {
    "FP32": "float32",
    "FP64": "float64",
    "FP16": "float16",
    "BF16": "bfloat16",
    "INT64": "int64",
    "INT32": "int32",
    "INT16": "int16",
    "INT8": "int8",
    "UINT8": "uint8",
    "BOOL": "bool",
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    for datatype in TYPES:
        write_identity(folder / "models", datatype.lower(), datatype, "-1, -1")
    server = Server(folder / "models", "--log-verbose=1", zmq_flag(folder), log=folder / "log")
    with serving(server), Client(address_of(server), timeout_s=60) as made:
        yield made
    shutil.rmtree(folder)


@pytest.mark.parametrize("datatype", TYPES)
@pytest.mark.parametrize("columns", [3, 5000])
def test_tensors_of_every_type_go_in_and_come_out(client: Client, datatype: str, columns: int) -> None:
    sent = torch.arange(2 * columns).reshape(2, columns).remainder(100).to(getattr(torch, TYPES[datatype]))
    with client.infer(datatype.lower(), {"INPUT0": sent}) as result:
        came = result.torch("OUTPUT0")
    assert came.dtype == sent.dtype
    assert torch.equal(came, sent)
    came += came.clone()  # it is the program's own to write to


def test_a_tensor_over_the_clients_memory_is_handed_over_as_it_is(client: Client) -> None:
    array = client.empty((64, 1024), np.float32)
    tensor = torch.from_dlpack(array)
    assert tensor.data_ptr() == array.__array_interface__["data"][0]
    tensor.copy_(torch.rand(64, 1024))
    # The first answer says how large outputs are, where the model does not.
    client.infer("fp32", {"INPUT0": tensor}).release()
    before = regions_used(client)
    with client.infer("fp32", {"INPUT0": tensor}) as result:
        came = result.torch("OUTPUT0")
        # Only the output took a place: the input was not copied.
        assert regions_used(client) == before + array.nbytes
        assert came.data_ptr() == result["OUTPUT0"].__array_interface__["data"][0]
    assert torch.equal(came, tensor)
    with pytest.raises(StaleError):
        result.torch("OUTPUT0")
    # The tensor holds its memory, and gives it back.
    assert regions_used(client) == before + array.nbytes
    del came
    assert regions_used(client) == before


def regions_used(client: Client) -> int:
    """Bytes of the client's shared memory that something refers to."""
    return sum(each.used_bytes for each in client._conversation.memory.regions)


def test_tensors_that_are_laid_out_otherwise_or_want_gradients_go_in(client: Client) -> None:
    tensor = torch.rand(40, 50, requires_grad=True)
    for sent in (tensor, tensor.T, tensor[::2], tensor[:, ::2]):
        assert torch.equal(client.infer("fp32", {"INPUT0": sent}).torch("OUTPUT0"), sent.detach())
    bits = torch.rand(40, 50).bfloat16().T
    assert torch.equal(client.infer("bf16", {"INPUT0": bits}).torch("OUTPUT0"), bits)


def test_outputs_go_to_any_library_by_dlpack(client: Client) -> None:
    array: Any = np.arange(4000, dtype=np.int64).reshape(4, 1000)
    with client.infer("int64", {"INPUT0": array}) as result:
        assert torch.from_dlpack(result["OUTPUT0"]).sum() == array.sum()
        assert (np.from_dlpack(result["OUTPUT0"]) == array).all()


def test_outputs_are_put_into_tensors(client: Client) -> None:
    own = torch.zeros(4, 1000)
    sent = torch.rand(4, 1000)
    with client.region(1 << 20) as region:
        shared = torch.from_dlpack(region.array((4, 1000), np.float32))
        for target in (own, shared):
            client.infer("fp32", {"INPUT0": sent}, outputs={"OUTPUT0": target}).release()
            assert torch.equal(target, sent)
        # Where it lies in the program's own memory, that is where the model reads it, too.
        before = regions_used(client)
        shared += 1
        with client.infer("fp32", {"INPUT0": shared}, outputs={"OUTPUT0": shared}) as result:
            assert regions_used(client) == before
            assert result["OUTPUT0"].__array_interface__["data"][0] == shared.data_ptr()
        assert torch.equal(shared, sent + 1)
    bits = torch.zeros(4, 100, dtype=torch.bfloat16)
    client.infer("bf16", {"INPUT0": bits + 3}, outputs={"OUTPUT0": bits}).release()
    assert torch.equal(bits, torch.full((4, 100), 3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="no contiguous array"):
        client.infer("fp32", {"INPUT0": sent}, outputs={"OUTPUT0": own.T})
