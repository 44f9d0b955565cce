"""`tis.client`: one call to infer, tensors in shared memory, and nothing stale."""

import asyncio
import gc
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.direct import address_of, zmq_flag
from tests.harness.documents import blocks
from tests.harness.ensembles import Ensemble, Step
from tests.harness.models import add_sub, from_bf16, identity, slow
from tests.harness.native_models import write_identity, write_repeat
from tests.harness.observing import wait_pool_empty
from tests.harness.pace import rounds
from tests.harness.processes import open_files
from tests.harness.python_models import CODE_DECOUPLED
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually
from tis.client import AsyncClient, Client, ClientError, ConnectionLostError, InferenceError, StaleError

BIG = np.arange(200_000, dtype=np.float32)


def write_models(models: Path) -> Path:
    add_sub().write(models, "simple", max_batch_size=8, extra=one_cpu() + BATCHING)
    identity("FP32", [-1]).write(models, "echo", extra=one_cpu())
    step = Step("echo", {"INPUT0": "IN"}, {"OUTPUT0": "OUT"})
    Ensemble({"IN": ("FP32", "-1")}, {"OUT": ("FP32", "-1")}, (step,), max_batch_size=0).write(models, "chain")
    identity("FP32", ["b", 4096]).write(models, "fixed", extra=one_cpu(), max_batch_size=4)
    identity("BYTES", [-1]).write(models, "strings", extra=one_cpu())
    from_bf16().write(models, "from_bf16", extra=one_cpu())
    slow().write(models, "slow", extra=one_cpu(), max_batch_size=1)
    write_repeat(models)
    write_identity(models, "same", dims="-1")
    CODE_DECOUPLED.write(models, "endless")
    return models


@pytest.fixture(scope="module")
def direct() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="tz-"))
    server = Server(write_models(folder / "models"), "--log-verbose=1", zmq_flag(folder), log=folder / "log")
    with serving(server):
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def client(direct: Server) -> Iterator[Client]:
    with Client(address_of(direct), timeout_s=30) as made:
        yield made


def regions(server: Server) -> int:
    """How many granted regions the supervisor holds."""
    return sum(each.startswith("/memfd:tis-granted") for each in open_files(server.process.pid))


def in_memory(client: Client, array: "np.ndarray[Any, Any]") -> bool:
    return client._conversation.memory.holding(array) is not None


@pytest.mark.parametrize(("name", "printed"), [("quick.py", "32\n"), ("own_memory.py", "96\n")])
def test_the_examples_of_the_page_print_their_sums(direct: Server, name: str, printed: str) -> None:
    (block,) = [block for block in blocks("docs/zeromq.md") if block.name == name]
    program = block.text.replace("ipc:///run/tis/direct", address_of(direct))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (printed, "")


def test_small_tensors_go_in_and_come_out(client: Client) -> None:
    one = np.arange(16, dtype=np.int32).reshape(1, 16)
    with client.infer("simple", {"INPUT0": one, "INPUT1": one}, request_id="me") as result:
        assert result["OUTPUT0"].tolist() == (2 * one).tolist()
        assert set(result) == {"OUTPUT0", "OUTPUT1"}
        assert (result.model, result.version, result.request_id) == ("simple", "1", "me")
    only = client.infer("simple", {"INPUT0": one, "INPUT1": one}, outputs=["OUTPUT1"])
    assert list(only) == ["OUTPUT1"]


def test_large_tensors_come_back_in_shared_memory(client: Client) -> None:
    for turn in range(4):
        with client.infer("echo", {"INPUT0": BIG + turn}) as result:
            assert (result["OUTPUT0"] == BIG + turn).all()
            # The first time nobody knows how large the output will be.
            assert in_memory(client, result["OUTPUT0"]) is (turn > 0)
    with client.infer("echo", {"INPUT0": np.tile(BIG, 3)}) as result:
        assert (result["OUTPUT0"] == np.tile(BIG, 3)).all()
    for batch in (1, 4):
        rows = np.random.default_rng(1).random((batch, 4096), dtype=np.float32)
        with client.infer("fixed", {"INPUT0": rows}) as result:
            assert (result["OUTPUT0"] == rows).all()
            assert in_memory(client, result["OUTPUT0"])


def test_outputs_of_ensembles_come_in_shared_memory_or_beside_it_as_they_fit(client: Client) -> None:
    for size, fits in ((50_000, False), (50_000, True), (150_000, False), (150_000, True), (10_000, True)):
        with client.infer("chain", {"IN": BIG[:size]}) as result:
            assert (result["OUT"] == BIG[:size]).all()
            assert in_memory(client, result["OUT"]) is fits


def test_an_array_of_the_clients_own_memory_is_not_copied(client: Client) -> None:
    array = client.empty(BIG.shape, np.float32)
    assert in_memory(client, array)
    for value in (1.0, 2.0):
        array[:] = value
        with client.infer("echo", {"INPUT0": array[100:]}) as result:
            assert (result["OUTPUT0"] == value).all()
            assert result["OUTPUT0"].shape == (BIG.size - 100,)


def test_a_released_result_is_stale_and_views_outlive_it(client: Client) -> None:
    client.infer("echo", {"INPUT0": BIG}).release()
    with client.infer("echo", {"INPUT0": BIG}) as result:
        view = result["OUTPUT0"][10:20]
        own = result.copy("OUTPUT0")
    for use in (lambda: result["OUTPUT0"], lambda: list(result), lambda: result.copy("OUTPUT0"), lambda: len(result)):
        with pytest.raises(StaleError, match="released"):
            use()
    for _ in range(5):
        client.infer("echo", {"INPUT0": BIG * 0}).release()
    assert (view == BIG[10:20]).all()
    assert (own == BIG).all()


def test_memory_is_used_again_and_comes_free(client: Client) -> None:
    for _ in range(200):
        client.infer("echo", {"INPUT0": BIG}).release()
    assert len(client._conversation.memory.regions) <= 2
    gc.collect()
    assert all(region.is_unused for region in client._conversation.memory.regions)


def test_strings_and_bf16(client: Client) -> None:
    sent = np.array(["one", "", "zwölf"], object)
    assert client.infer("strings", {"INPUT0": sent})["OUTPUT0"].tolist() == [b"one", b"", "zwölf".encode()]
    many = np.array([b"x" * 100] * 1000, object)
    for _ in range(2):
        assert client.infer("strings", {"INPUT0": many})["OUTPUT0"].tolist() == many.tolist()
    bits = np.array([0x3F80, 0x4000], np.uint16)
    result = client.infer("from_bf16", {"INPUT0": (bits, "BF16"), "INPUT1": sent})
    assert result["OUTPUT0"].tolist() == [1.0, 2.0]


def test_tensors_of_other_libraries_come_by_dlpack(client: Client) -> None:
    class Foreign:
        def __init__(self, array: "np.ndarray[Any, Any]") -> None:
            self._array = array

        def __dlpack__(self, **more: Any) -> Any:
            return self._array.__dlpack__(**more)

        def __dlpack_device__(self) -> Any:
            return self._array.__dlpack_device__()

    assert (client.infer("echo", {"INPUT0": Foreign(BIG)})["OUTPUT0"] == BIG).all()
    assert client.infer("echo", {"INPUT0": BIG[::2]})["OUTPUT0"].tolist() == BIG[::2].tolist()
    with pytest.raises(TypeError, match="complex64"):
        client.infer("echo", {"INPUT0": np.zeros(4, np.complex64)})


def test_errors_have_a_code_and_tritons_text(client: Client) -> None:
    with pytest.raises(InferenceError, match="'nobody' is not found") as caught:
        client.infer("nobody", {})
    assert caught.value.code == "NOT_FOUND"
    with pytest.raises(InferenceError, match="data-type is 'INT32'") as caught:
        client.infer("echo", {"INPUT0": np.zeros(2000, np.int32)})
    assert caught.value.code == "INVALID_ARG"
    with pytest.raises(InferenceError, match="unexpected inference output 'X'"):
        client.infer("echo", {"INPUT0": BIG}, outputs=["X"])
    assert client.metadata()["ready"] is True
    assert client.statistics("echo")[0]["name"] == "echo"


def repeated(values: list[int], delay_ms: int = 0) -> dict[str, Any]:
    return {
        "IN": np.array(values, np.int32),
        "DELAY": np.full(len(values), delay_ms, np.uint32),
        "WAIT": np.zeros(1, np.uint32),
    }


def test_a_decoupled_model_streams_and_leaving_early_cancels(client: Client, direct: Server) -> None:
    assert [result["OUT"].tolist() for result in client.stream("repeat", repeated([4, 5, 6]))] == [[4], [5], [6]]
    with pytest.raises(ClientError, match="several responses"):
        client.infer("repeat", repeated([4, 5, 6]))
    for result in client.stream("repeat", repeated(list(range(500)), delay_ms=5)):
        assert result["OUT"].tolist() == [0]
        break
    assert client.infer("echo", {"INPUT0": BIG})["OUTPUT0"].size == BIG.size
    eventually(lambda: client.infer("echo", {"INPUT0": BIG}) and not client._conversation.left, "the stream has ended")
    wait_pool_empty(direct)


def test_a_client_that_waits_too_long_gives_up_and_goes_on(direct: Server) -> None:
    with Client(address_of(direct), timeout_s=0.2) as client:
        with pytest.raises(ConnectionLostError, match=r"within 0\.2 s"):
            client.infer("slow", {"ROUNDS": np.array([[rounds(600)]], np.int64)})
        client.infer("echo", {"INPUT0": BIG})
    with pytest.raises(ConnectionLostError, match="no server is at"):
        Client("ipc:///tmp/nobody-listens-here", connect_timeout_s=0.2)


def test_many_requests_of_one_asyncio_client_are_in_flight(direct: Server) -> None:
    async def ask() -> None:
        async with AsyncClient(address_of(direct), timeout_s=30) as client:

            async def one(value: int) -> None:
                sent = np.full(2000 + value, value, np.float32)
                with await client.infer("echo", {"INPUT0": sent}) as result:
                    assert (result["OUTPUT0"] == sent).all()

            for _ in range(2):
                await asyncio.gather(*[one(value) for value in range(100)])
            found = [result["OUT"].tolist() async for result in client.stream("repeat", repeated([1, 2]))]
            assert found == [[1], [2]]
            with pytest.raises(InferenceError, match="nobody"):
                await client.infer("nobody", {})
            slow = [
                asyncio.ensure_future(client.infer("slow", {"ROUNDS": np.array([[rounds(200)]])})) for _ in range(3)
            ]
            await asyncio.sleep(0)
            await client.metadata()
            for task in slow:
                task.cancel()
            assert all(
                isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*slow, return_exceptions=True)
            )
            assert (await client.metadata("echo"))["name"] == "echo"

    asyncio.run(asyncio.wait_for(ask(), 60))
    wait_pool_empty(direct)


def test_clients_that_are_killed_at_any_point_leave_nothing(direct: Server) -> None:
    eventually(lambda: not regions(direct), "tests before have given back what they had")
    before = {each.name for each in Path("/dev/shm").iterdir()}
    program = (
        "import sys, numpy as np\nfrom tis.client import Client\n"
        "client = Client(sys.argv[1])\nprint('begun', flush=True)\nbig = np.zeros(300_000, np.float32)\n"
        "while True:\n client.infer('echo', {'INPUT0': big})\n"
    )
    random = np.random.default_rng(7)
    for _ in range(3):
        clients = [
            subprocess.Popen([sys.executable, "-c", program, address_of(direct)], stdout=subprocess.PIPE)
            for _ in range(4)
        ]
        for each in clients:
            assert each.stdout is not None
            assert each.stdout.readline() == b"begun\n"
            with Client(address_of(direct), timeout_s=30) as other:
                for _ in range(int(random.integers(0, 20))):
                    assert (other.infer("echo", {"INPUT0": BIG})["OUTPUT0"] == BIG).all()
            each.send_signal(signal.SIGKILL)
        for each in clients:
            each.communicate()
    eventually(lambda: not regions(direct), "the regions of the killed clients are closed")
    wait_pool_empty(direct)
    assert {each.name for each in Path("/dev/shm").iterdir()} <= before


def test_a_client_goes_on_when_a_frontend_has_died(direct: Server) -> None:
    with Client(address_of(direct), timeout_s=30) as client:
        array = client.empty(BIG.shape, np.float32)
        array[:] = BIG
        assert regions(direct) == 1
        direct.kill(direct.frontends()[0])

        def answers() -> bool:
            try:
                return bool((client.infer("echo", {"INPUT0": array})["OUTPUT0"] == BIG).all())
            except (ConnectionLostError, InferenceError):
                return False

        eventually(answers, "the frontend that was started again answers")
        assert (array == BIG).all()
    eventually(lambda: not regions(direct), "nothing is left of it")


def test_an_output_is_put_into_an_array_of_the_programs_own(client: Client) -> None:
    shared = client.empty(BIG.shape, np.float32)
    own = np.zeros(BIG.shape, np.float32)
    for target in (shared, own):
        with client.infer("echo", {"INPUT0": BIG}, outputs={"OUTPUT0": target}) as result:
            assert np.shares_memory(result["OUTPUT0"], target)
        assert (target == BIG).all()
    with client.infer("echo", {"INPUT0": BIG[:5000]}, outputs={"OUTPUT0": shared}) as result:
        assert result["OUTPUT0"].shape == (5000,)
    with pytest.raises(InferenceError, match="should be at least"):
        client.infer("echo", {"INPUT0": BIG}, outputs={"OUTPUT0": client.empty([10], np.float32)})
    with pytest.raises(ValueError, match="does not fit"):
        client.infer("echo", {"INPUT0": BIG}, outputs={"OUTPUT0": own[:10]})
    with pytest.raises(TypeError, match="no contiguous array"):
        client.infer("echo", {"INPUT0": BIG}, outputs={"OUTPUT0": own[::2]})


def test_a_model_that_returns_its_input_leaves_it_where_it_is(client: Client) -> None:
    array = client.empty(BIG.shape, np.float32)
    array[:] = BIG
    for name in ("echo", "same"):
        with client.infer(name, {"INPUT0": array}, outputs={"OUTPUT0": array}) as result:
            assert np.shares_memory(result["OUTPUT0"], array)
            assert (array == BIG).all()
