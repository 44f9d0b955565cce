"""A model of sequences is loaded anew: those under way go on where their state is, and others begin on the new load."""

from pathlib import Path

import numpy as np
import pytest
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from tests.harness.fixtures import StartServer
from tests.harness.sequence_models import START, SUM_STATE, accumulator, write
from tests.harness.server import Server
from tests.harness.waiting import eventually
from tests.process.test_reloads import control

#: Longer than a reload takes on a machine that has much else to do; and as short as a test can wait for.
_LONG_IDLE_S = 120
_SHORT_IDLE_S = 5


class Asker:
    """Sends numbers in sequences and gives their sums."""

    def __init__(self, server: Server) -> None:
        self._client = httpclient.InferenceServerClient(server.http_address)

    def add(self, sequence: int, number: int, *, start: bool = False, end: bool = False) -> int:
        tensor = httpclient.InferInput("INPUT", [1, 1], "INT32")
        tensor.set_data_from_numpy(np.array([[number]], np.int32))
        answer = self._client.infer(
            "sum", [tensor], sequence_id=sequence, sequence_start=start, sequence_end=end
        ).as_numpy("SUM")
        return int(answer[0][0])


def started(new_server: StartServer, folder: Path, idle_s: int) -> Server:
    idle = f"max_sequence_idle_microseconds: {idle_s * 1_000_000} "
    write(accumulator(), folder / "models", "sum", idle + START + SUM_STATE % "", max_batch_size=2)
    return new_server(folder / "models", "--model-control-mode=explicit", "--load-model=sum").start()


def load_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "models" / "sum" / "1" / "model.onnx").touch()
    assert control(server, "models/sum/load").status == 200


def test_a_sequence_goes_on_over_reloads_until_it_ends_and_then_its_load_is_gone(
    new_server: StartServer, tmp_path: Path
) -> None:
    server = started(new_server, tmp_path, _LONG_IDLE_S)
    [first] = server.workers()
    asker = Asker(server)
    assert asker.add(1, 5, start=True) == 5
    load_anew(server, tmp_path)
    assert asker.add(1, 6) == 11
    assert asker.add(2, 100, start=True) == 100
    assert first in server.workers()
    load_anew(server, tmp_path)
    assert asker.add(2, 100, end=True) == 200
    assert asker.add(1, 7, end=True) == 18
    eventually(lambda: len(server.workers()) == 1 and first not in server.workers(), "one load is left")
    assert asker.add(1, 1, start=True, end=True) == 1


def test_a_sequence_that_begins_again_does_so_on_the_new_load(new_server: StartServer, tmp_path: Path) -> None:
    server = started(new_server, tmp_path, _LONG_IDLE_S)
    asker = Asker(server)
    assert asker.add(1, 5, start=True) == 5
    load_anew(server, tmp_path)
    assert asker.add(1, 6, start=True) == 6
    assert asker.add(1, 6) == 12


def test_a_sequence_that_idles_over_a_reload_holds_the_old_load_no_longer_than_it_may_idle(
    new_server: StartServer, tmp_path: Path
) -> None:
    server = started(new_server, tmp_path, _SHORT_IDLE_S)
    asker = Asker(server)
    assert asker.add(1, 5, start=True) == 5
    load_anew(server, tmp_path)
    eventually(lambda: len(server.workers()) == 1, "one load is left")
    with pytest.raises(InferenceServerException, match="must specify the START flag"):
        asker.add(1, 6)


def test_an_unload_waits_for_no_sequence(new_server: StartServer, tmp_path: Path) -> None:
    server = started(new_server, tmp_path, _LONG_IDLE_S)
    assert Asker(server).add(1, 5, start=True) == 5
    assert control(server, "models/sum/unload").status == 200
    eventually(lambda: not server.workers(), "it is gone")
