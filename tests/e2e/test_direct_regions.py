"""`tis.client` and memory of the program's own: handed over as it lies, and given back however the program ends."""

import asyncio
import contextlib
import mmap
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.direct import DirectClient, address_of, zmq_flag
from tests.harness.fixtures import StartServer
from tests.harness.models import identity
from tests.harness.native_models import write_identity
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import open_files
from tests.harness.repository import one_cpu
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually
from tis.client import AsyncClient, Client, ConnectionLostError, InferenceError, SharedRegion

BIG = np.arange(50_000, dtype=np.float32)
SHM = Path("/dev/shm")


@pytest.fixture(scope="module")
def direct() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    identity("FP32", [-1]).write(folder / "models", "echo", extra=one_cpu())
    write_identity(folder / "models", "same", dims="-1")
    with serving(Server(folder / "models", "--log-verbose=1", zmq_flag(folder), log=folder / "log")) as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def client(direct: Server) -> Iterator[Client]:
    with Client(address_of(direct), timeout_s=30) as made:
        yield made


@pytest.fixture
def named() -> Iterator[str]:
    """The name of an object of 1 MiB."""
    name = f"tis-test-{secrets.token_hex(8)}"
    (SHM / name).write_bytes(bytes(1 << 20))
    yield name
    (SHM / name).unlink(missing_ok=True)


def objects(server: Server) -> list[str]:
    """The shared memory of programs that the supervisor holds."""
    return [each for each in open_files(server.process.pid) if each.startswith(("/dev/shm/tis-", "/memfd:tis-client"))]


def in_place(client: Client | AsyncClient, array: "np.ndarray[Any, Any]") -> bool:
    return client._conversation.memory.holding(array) is not None


def is_known(region: SharedRegion) -> bool:
    return region.is_registered


def granted(client: Client | AsyncClient) -> int:
    return len(client._conversation.memory.regions)


def test_tensors_in_a_region_of_the_programs_own_are_used_where_they_lie(client: Client, direct: Server) -> None:
    with client.region(1 << 20) as region:
        sent = region.array(BIG.shape, np.float32)
        came = region.array([5, 10_000], np.float32, offset=1 << 19)
        sent[:] = BIG
        for turn in range(3):
            sent[0] = turn
            with client.infer("echo", {"INPUT0": sent}, outputs={"OUTPUT0": came}) as result:
                assert np.shares_memory(result["OUTPUT0"], came)
            assert (came.ravel() == sent).all()
        # Parts of it, too, and where the input is.
        with client.infer("same", {"INPUT0": sent[100:]}, outputs={"OUTPUT0": sent[100:]}) as result:
            assert result["OUTPUT0"].shape == (BIG.size - 100,)
        assert is_known(region)
        assert objects(direct)
        # Nothing was granted for all this.
        assert not granted(client)
    assert not is_known(region)
    eventually(lambda: not objects(direct), "the server has closed it")
    # Arrays stay what they are, and are copied like all others.
    with client.infer("echo", {"INPUT0": sent}) as result:
        assert (result["OUTPUT0"] == sent).all()
    assert granted(client)
    region.close()
    with pytest.raises(ValueError, match="given back"):
        region.array([1], np.float32)


def test_a_region_has_no_name_that_could_stay_and_no_other_size(client: Client) -> None:
    before = set(SHM.iterdir())
    region = client.region(5000)
    assert set(SHM.iterdir()) <= before
    descriptor = int(region._memory.key.rpartition("/")[2])
    for size in (100, 10_000):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    assert region.size_bytes == 5000
    for shape, offset in (([1251], 0), ([1], 4997), ([1], -4)):
        with pytest.raises(ValueError, match="are not within 5000 bytes"):
            region.array(shape, np.float32, offset)


def by_name(name: str) -> tuple[Any, dict[str, Any]]:
    return name, {}


def by_slashed_name(name: str) -> tuple[Any, dict[str, Any]]:
    return f"/{name}", {}


def by_object(name: str) -> tuple[Any, dict[str, Any]]:
    from multiprocessing import resource_tracker

    found = SharedMemory(name)
    # It is another's to unlink.
    resource_tracker.unregister(found._name, "shared_memory")  # type: ignore[attr-defined]
    return found, {}


def by_mapping(name: str) -> tuple[Any, dict[str, Any]]:
    with (SHM / name).open("r+b") as file:
        return mmap.mmap(file.fileno(), 1 << 19, offset=1 << 19), {"key": name, "offset": 1 << 19}


@pytest.mark.parametrize("how", [by_name, by_slashed_name, by_object, by_mapping])
def test_memory_that_the_program_has_is_used_where_it_lies(
    client: Client, direct: Server, named: str, how: Callable[[str], tuple[Any, dict[str, Any]]]
) -> None:
    memory, more = how(named)
    with client.share(memory, **more) as shared:
        array = shared.array(BIG.shape, np.float32)
        array[:] = BIG
        if not isinstance(memory, str):
            # The program's own view of it, of which this client knows only where it lies.
            array = np.frombuffer(getattr(memory, "buf", memory), np.float32, count=BIG.size)
        assert in_place(client, array)
        with client.infer("same", {"INPUT0": array}, outputs={"OUTPUT0": array}) as result:
            assert np.shares_memory(result["OUTPUT0"], array)
            assert (array == BIG).all()
        assert not granted(client)
        del array
        if not isinstance(memory, str):
            with pytest.raises(BufferError):
                memory.close()
    del shared, result
    if not isinstance(memory, str):
        memory.close()
    eventually(lambda: not objects(direct), "the server has closed it")
    # It is the program's: it stays.
    assert (SHM / named).exists()


def test_what_is_wrong_with_memory_is_told(client: Client, named: str) -> None:
    with pytest.raises(FileNotFoundError, match="no shared memory of the name 'tis-nobody'"):
        client.share("tis-nobody")
    with pytest.raises(ValueError, match="Give its name as key"):
        client.share(mmap.mmap(-1, 4096))
    with pytest.raises(ValueError, match="is not what is mapped from byte 0 of"):
        client.share(mmap.mmap(-1, 4096), key=named)
    with (SHM / named).open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 4096, offset=4096)
    with pytest.raises(ValueError, match="is not what is mapped from byte 0 of"):
        client.share(mapped, key=named)
    with pytest.raises(ValueError, match="by its name alone"):
        client.share(named, key=named)
    with pytest.raises(TypeError):
        client.share(5, key=named)
    with pytest.raises(ValueError, match="at least one byte"):
        client.region(0)
    closed = SharedMemory(create=True, size=64)
    closed.close()
    with pytest.raises(ValueError, match="has been closed"):
        client.share(closed)
    closed.unlink()
    os.truncate(SHM / named, 2048)
    with pytest.raises(ValueError, match="has 2048 bytes, fewer than 4096"):
        client.share(mapped, key=named, offset=4096)
    with pytest.raises(OSError):
        client.region(1 << 62)
    # Nothing of all that is left, and the client goes on.
    assert not client._conversation._own
    assert client.infer("echo", {"INPUT0": BIG})["OUTPUT0"].size == BIG.size


def test_as_many_regions_as_the_server_allows_and_no_more(client: Client, direct: Server) -> None:
    made = [client.region(4096) for _ in range(64)]
    with pytest.raises(InferenceError, match="at most 64 regions"):
        client.region(4096)
    made.pop().close()
    made.append(client.region(4096))
    # No room for what is granted: tensors travel in messages.
    assert (client.infer("echo", {"INPUT0": BIG})["OUTPUT0"] == BIG).all()
    client.close()
    eventually(lambda: not objects(direct), "all of them are closed")
    for region in made:
        assert not region.is_registered
        region.close()


def test_the_asyncio_client_has_regions_too(direct: Server, named: str) -> None:
    async def ask() -> None:
        async with AsyncClient(address_of(direct), timeout_s=30) as client:
            async with await client.region(1 << 20) as region, await client.share(named) as shared:
                sent, came = region.array(BIG.shape, np.float32), shared.array(BIG.shape, np.float32)
                sent[:] = BIG
                with await client.infer("echo", {"INPUT0": sent}, outputs={"OUTPUT0": came}) as result:
                    assert np.shares_memory(result["OUTPUT0"], came)
                assert (came == BIG).all()
                assert not granted(client)
            assert not region.is_registered
            with pytest.raises(FileNotFoundError, match="no shared memory"):
                await client.share("tis-nobody")

    asyncio.run(asyncio.wait_for(ask(), 60))
    eventually(lambda: not objects(direct), "the server has closed them")


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_that_dies_gives_back_what_it_has_shared(direct: Server, named: str, signal_number: int) -> None:
    before = set(SHM.iterdir())
    program = (
        "import sys, numpy as np\nfrom tis.client import Client\nclient = Client(sys.argv[1])\n"
        "region, shared = client.region(1 << 20), client.share(sys.argv[2])\n"
        "sent, came = (each.array([50_000], np.float32) for each in (region, shared))\nprint('begun', flush=True)\n"
        "while True:\n client.infer('echo', {'INPUT0': sent}, outputs={'OUTPUT0': came})\n"
    )
    programs = [
        subprocess.Popen([sys.executable, "-c", program, address_of(direct), named], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for each in programs:
        assert each.stdout is not None
        assert each.stdout.readline() == b"begun\n"
    assert len(objects(direct)) == 6
    for each in programs:
        each.send_signal(signal_number)
        each.communicate()
    eventually(lambda: not objects(direct), "what they have shared is closed")
    wait_pool_empty(direct)
    assert set(SHM.iterdir()) <= before


def test_memory_is_shared_anew_when_a_frontend_has_died(direct: Server, named: str) -> None:
    with Client(address_of(direct), timeout_s=30) as client:
        region, shared = client.region(1 << 20), client.share(named)
        arrays = [each.array(BIG.shape, np.float32) for each in (region, shared)]
        for array in arrays:
            array[:] = BIG
        for process in direct.frontends():
            direct.kill(process)

        def answers(array: "np.ndarray[Any, Any]") -> bool:
            try:
                return bool((client.infer("echo", {"INPUT0": array})["OUTPUT0"] == BIG).all())
            except (ConnectionLostError, InferenceError):
                return False

        eventually(lambda: answers(arrays[0]), "the frontend that was started again answers")
        assert answers(arrays[1])
        assert [each.is_registered for each in (region, shared)] == [True, True]
        assert [in_place(client, array) for array in arrays] == [True, True]
        # What has lost its name meanwhile cannot be found again, and is copied from then on.
        (SHM / named).unlink()
        for process in direct.frontends():
            direct.kill(process)
        eventually(lambda: answers(arrays[1]), "the frontend that was started again answers")
        assert [in_place(client, array) for array in arrays] == [True, False]
    eventually(lambda: not objects(direct), "nothing is left of it")


@pytest.mark.parametrize(
    "key",
    [
        "/proc/self/fd/{regular}",
        "/proc/self/fd/{unsealed}",
        "/proc/self/fd/{pipe}",
        "/proc/self/fd/999",
        "/proc/{pid}/fd/{regular}",
        "/proc/self/fd/-1",
    ],
)
def test_only_sealed_memory_of_the_client_itself_is_taken_by_its_descriptor(
    direct: Server, tmp_path: Path, key: str
) -> None:
    (tmp_path / "file").write_bytes(bytes(4096))
    with (tmp_path / "file").open("r+b") as file, contextlib.ExitStack() as stack:
        unsealed = os.memfd_create("unsealed")
        os.truncate(unsealed, 4096)
        pipe = os.pipe()
        for each in (unsealed, *pipe):
            stack.callback(os.close, each)
        key = key.format(regular=file.fileno(), unsealed=unsealed, pipe=pipe[0], pid=direct.process.pid)
        with DirectClient(address_of(direct)) as client:
            about = {"type": "register", "id": 1, "region": "r", "key": key, "size": 4096}
            code, text = client.refusal(about)
            assert code == "INTERNAL"
            assert f"Unable to open shared memory region: '{key}'" in text


def test_over_tcp_a_region_is_one_that_the_server_grants(new_server: StartServer, tmp_path: Path) -> None:
    write_identity(tmp_path / "models", "same", dims="-1")
    server = new_server(tmp_path / "models", "--zmq-address=tcp://127.0.0.1:0").start()
    server.wait_ready()
    with Client(address_of(server), timeout_s=30) as client, client.region(1 << 20) as region:
        array = region.array(BIG.shape, np.float32)
        array[:] = BIG
        client.infer("same", {"INPUT0": array}, outputs={"OUTPUT0": array}).release()
        assert (array == BIG).all()
        assert not granted(client)
        assert is_known(region)
