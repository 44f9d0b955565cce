"""CUDA memory of clients: what can be said without a GPU, and the whole way where there is one."""

import os
from pathlib import Path

import pytest

from tis_shm import cuda
from tis_shm.region import RegionError

GPU = pytest.mark.skipif(not Path("/dev/nvidia0").exists(), reason="needs an NVIDIA GPU (no /dev/nvidia0)")


def test_a_handle_has_its_size() -> None:
    with pytest.raises(RegionError, match="has 64 bytes, this one has 3"):
        cuda.CudaRegion(b"abc", "0", 4)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_without_a_gpu_a_handle_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(RegionError, match="CUDA"):
        cuda.CudaRegion(bytes(cuda.HANDLE_BYTES), "0", 4)


def test_a_gpu_that_the_instance_does_not_see_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    with pytest.raises(RegionError, match="GPU 0, which this model instance does not see"):
        cuda.CudaRegion(bytes(cuda.HANDLE_BYTES), "0", 4)


@pytest.mark.gpu
@GPU
def test_bytes_written_to_a_clients_gpu_memory_are_read_back() -> None:
    shared = pytest.importorskip("tritonclient.utils.cuda_shared_memory", reason="needs cuda-python")
    handle = shared.create_shared_memory_region("region", 64, 0)
    pid = os.fork()
    if pid == 0:
        # An IPC handle is opened by another process than the one that made it.
        region = cuda.CudaRegion(shared.get_raw_handle(handle), "0", 64)
        region.write(4, memoryview(b"from the server"))
        done = bytes(region.view(4, 15)) == b"from the server" and region.close()
        os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    shared.destroy_shared_memory_region(handle)
