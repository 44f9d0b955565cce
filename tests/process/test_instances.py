"""Instances of a model come and go while requests flow: no reload, no failed request, and those that stay are left alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.fixtures import StartServer
from tests.harness.observing import wait_pool_empty
from tests.harness.processes import ServerProcess
from tests.harness.raw_http import Connection, Response
from tests.harness.repository import one_cpu
from tests.harness.server import Server
from tests.harness.traffic import Chatter
from tests.harness.waiting import eventually
from tests.process.test_reloads import control, states, write_echo

_CONFIG = {
    "backend": "onnxruntime",
    "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_echo(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def server(new_server: StartServer, folder: Path) -> Server:
    return new_server(folder, "--model-control-mode=explicit", "--load-model=echo").start()


def get(server: Server, path: str) -> Response:
    with Connection(server) as connection:
        return connection.call(f"GET /v2/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def instances(server: Server, model: str = "echo") -> list[dict[str, Any]]:
    """What the API says of the instances of a model."""
    answer = get(server, f"repository/models/{model}/instances")
    assert answer.status == 200, answer.body
    return list(answer.json())


def resize(server: Server, count: object, **more: object) -> Response:
    return control(server, "models/echo/instances", {"count": count, **more})


def settled(server: Server, count: int) -> list[int]:
    """Wait until there are so many instances, all of them ready, and no other worker; gives their pids."""

    def look() -> bool:
        found = instances(server)
        return [each["state"] for each in found] == ["READY"] * count and len(server.workers()) == count

    eventually(look, f"{count} instances, not {instances(server)}")
    return [each["pid"] for each in instances(server)]


def config_of(server: Server) -> list[tuple[str, int]]:
    return [(each["name"], each["count"]) for each in get(server, "models/echo/config").json()["instance_group"]]


def write_groups(folder: Path, text: str) -> None:
    path = folder / "echo" / "config.pbtxt"
    path.write_text(path.read_text().partition("instance_group")[0] + text)


def load_with(server: Server, *groups: dict[str, object]) -> Response:
    config = json.dumps({**_CONFIG, "instance_group": groups})
    return control(server, "models/echo/load", {"parameters": {"config": config}})


def test_instances_grow_and_shrink_and_no_request_fails(server: Server) -> None:
    [first] = settled(server, 1)
    with Chatter(server) as one, Chatter(server) as other:
        assert resize(server, 4).status == 200
        assert [each["name"] for each in instances(server)] == [f"echo_0_{number}" for number in range(4)]
        four = settled(server, 4)
        assert four[0] == first
        one.wait_right(20)
        assert resize(server, 2).status == 200
        assert settled(server, 2) == four[:2]
        other.wait_right(20)
        assert resize(server, 1).status == 200
        assert settled(server, 1) == [first]
        one.wait_right(20)
    assert set(one.outcomes) | set(other.outcomes) == {200}
    assert config_of(server) == [("echo_0", 1)]
    wait_pool_empty(server)


def test_what_the_api_says_of_an_instance(server: Server) -> None:
    [worker] = server.workers()
    row = {
        "name": "echo_0_0",
        "version": "1",
        "group": "echo_0",
        "kind": "KIND_CPU",
        "device": 0,
        "pid": worker.pid,
        "state": "READY",
    }
    assert instances(server) == [row]


def test_a_change_of_the_groups_alone_is_no_reload(server: Server, folder: Path) -> None:
    [first] = settled(server, 1)
    with Chatter(server) as chatter:
        write_groups(folder, one_cpu(2))
        assert control(server, "models/echo/load").status == 200
        two = settled(server, 2)
        assert two[0] == first
        write_groups(folder, 'instance_group [ { name: "a" kind: KIND_CPU count: 1 }, { kind: KIND_CPU count: 2 } ]')
        assert control(server, "models/echo/load").status == 200
        three = settled(server, 3)
        assert three[:2] == two
        assert [each["name"] for each in instances(server)] == ["a_0", "echo_1_0", "echo_1_1"]
        write_groups(folder, "instance_group [ { kind: KIND_MODEL count: 1 } ]")
        assert control(server, "models/echo/load").status == 200
        assert settled(server, 1)[0] not in three
        chatter.wait_right(5)
    assert set(chatter.outcomes) == {200}
    assert "successfully unloaded" not in server.log()


def test_a_config_that_is_sent_along_and_differs_in_groups_alone_is_no_reload(server: Server) -> None:
    [first] = settled(server, 1)
    assert load_with(server, {"kind": "KIND_CPU", "count": 1}).status == 200
    # What the server itself completes is compared as it was written.
    [first] = settled(server, 1)
    with Chatter(server) as chatter:
        assert load_with(server, {"kind": "KIND_CPU", "count": 3}).status == 200
        assert settled(server, 3)[0] == first
        chatter.wait_right(3)
    assert set(chatter.outcomes) == {200}


def test_groups_that_change_in_a_followed_repository_are_followed_without_a_reload(
    new_server: StartServer, folder: Path
) -> None:
    server = new_server(folder, "--model-control-mode=poll", "--repository-poll-secs=1").start()
    [first] = settled(server, 1)
    with Chatter(server) as chatter:
        write_groups(folder, one_cpu(3))
        assert settled(server, 3)[0] == first
        chatter.wait_right(3)
        # The number that the API sets lasts until the config changes again.
        assert resize(server, 2).status == 200
        assert settled(server, 2)[0] == first
        chatter.wait_right(3)
    assert set(chatter.outcomes) == {200}


def test_in_none_mode_the_api_changes_the_number_too(new_server: StartServer, folder: Path) -> None:
    server = new_server(folder).start()
    assert resize(server, 2).status == 200
    settled(server, 2)


def test_a_change_of_the_version_policy_loads_and_unloads_versions_and_leaves_those_that_stay(
    server: Server, folder: Path
) -> None:
    def policy(text: str) -> None:
        write_groups(folder, one_cpu() + f"version_policy {{ {text} }}\n")
        assert control(server, "models/echo/load").status == 200

    write_echo(folder, version=2)
    policy("specific { versions: [1] }")
    [first] = settled(server, 1)
    with Chatter(server) as chatter:
        policy("all { }")
        both = settled(server, 2)
        assert both[0] == first
        policy("specific { versions: [1] }")
        assert settled(server, 1) == [first]
        chatter.wait_right(5)
    assert set(chatter.outcomes) == {200}
    assert states(server) == {("echo", "1"): ("READY", ""), ("echo", "2"): ("UNAVAILABLE", "unloaded")}
    assert "specific" in get(server, "models/echo/config").json()["version_policy"]


def test_what_else_changes_is_a_reload(server: Server, folder: Path) -> None:
    [first] = settled(server, 1)
    write_groups(folder, one_cpu(2) + 'parameters { key: "x" value { string_value: "y" } }')
    assert control(server, "models/echo/load").status == 200
    assert first not in settled(server, 2)


def test_an_instance_that_cannot_come_leaves_everything_as_it_was_and_its_reason_is_told(
    server: Server, folder: Path
) -> None:
    two = _grown_to_two(server)
    # What serves has read the file; what comes finds another, of which the config's time says nothing.
    model = folder / "echo" / "1" / "model.onnx"
    content = model.read_bytes()
    model.write_bytes(b"no model")
    with Chatter(server) as chatter:
        answer = resize(server, 4)
        assert answer.status == 400
        assert answer.error.startswith("load failed for model 'echo': version 1 is at READY state: Internal: ")
        assert settled(server, 2) == two
        chatter.wait_right(3)
    assert set(chatter.outcomes) == {200}
    state, reason = states(server)[("echo", "1")]
    assert state == "READY"
    assert reason.startswith("Internal: ")
    assert config_of(server) == [("echo_0", 2)]
    server.wait_ready()
    model.write_bytes(content)
    assert resize(server, 3).status == 200
    assert settled(server, 3)[:2] == two
    assert states(server)[("echo", "1")] == ("READY", "")


def _grown_to_two(server: Server) -> list[int]:
    assert resize(server, 2).status == 200
    return settled(server, 2)


def test_instances_that_are_killed_while_others_come_hold_nothing_up(server: Server) -> None:
    with Chatter(server) as chatter:
        for turn in range(3):
            with Connection(server) as connection:
                body = json.dumps({"count": 4 - turn % 2}).encode()
                head = f"POST /v2/repository/models/echo/instances HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.send(head.encode() + body)
                eventually(lambda: len(server.workers()) > 1, "others come")
                server.workers()[-1 if turn else 0].kill()
                answer = connection.response()
            assert answer.status in (200, 400), answer.body
            if answer.status == 400:
                assert "was killed by SIGKILL" in answer.error
            count = config_of(server)[0][1]
            settled(server, count)
            assert resize(server, 1).status == 200
            settled(server, 1)
        chatter.wait_right(5)
    assert set(chatter.outcomes) <= {200, 503}
    wait_pool_empty(server)


def test_a_model_that_is_unloaded_while_it_grows_is_gone_in_the_end(server: Server) -> None:
    with Connection(server) as growing:
        body = b'{"count": 3}'
        head = f"POST /v2/repository/models/echo/instances HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        growing.send(head.encode() + body)
        assert control(server, "models/echo/unload").status == 200
        assert growing.response().status in (200, 404)
    eventually(lambda: not server.workers(), "all workers are gone")
    assert resize(server, 2).status == 404


def test_groups_are_named_where_there_are_several(server: Server) -> None:
    one_each = [{"name": name, "kind": "KIND_CPU", "count": 1} for name in "ab"]
    assert load_with(server, *one_each).status == 200
    settled(server, 2)
    refused = resize(server, 2)
    assert (refused.status, refused.error) == (
        400,
        "which instance group is meant must be said; the instance groups of model 'echo' are a, b",
    )
    assert resize(server, 2, group="b").status == 200
    assert resize(server, 2, group=0).status == 200
    settled(server, 4)
    assert config_of(server) == [("a", 2), ("b", 2)]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({}, 400, "expected the members 'count' and, where there are several groups, 'group'; got []"),
        ({"count": 0}, 400, "the number of instances must be from 1 to 1024; got 0"),
        ({"count": 1025}, 400, "the number of instances must be from 1 to 1024; got 1025"),
        ({"count": "2"}, 500, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        ({"count": True}, 500, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        ({"count": 1, "group": []}, 500, "attempt to access JSON non-string as string"),
        ({"count": 1, "group": "x"}, 400, "unknown instance group 'x'; the instance groups of model 'echo' are echo_0"),
        ({"count": 1, "size": 2}, 400, None),
    ],
)
def test_what_makes_no_sense_is_refused(shared: Server, body: object, status: int, text: str | None) -> None:
    answer = control(shared, "models/echo/instances", body)
    assert answer.status == status
    assert text is None or answer.error == text


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("instances")
    write_echo(folder / "models")
    server = Server(folder / "models", log=folder / "log")
    yield server.start()
    server.close()


def test_models_that_nobody_knows_have_no_instances(shared: Server) -> None:
    for answer in (
        control(shared, "models/none/instances", {"count": 1}),
        get(shared, "repository/models/none/instances"),
    ):
        assert answer.status == 404
        assert answer.error == "Request for unknown model: 'none' is not found"


def test_the_call_is_restricted_with_the_repository(new_server: StartServer, folder: Path) -> None:
    server = new_server(folder, "--http-restricted-api=model-repository:key=secret").start()
    assert resize(server, 2).status == 403
    assert get(server, "repository/models/echo/instances").status == 403


def test_the_call_is_in_the_description(shared: Server) -> None:
    with Connection(shared) as connection:
        answer = connection.call(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
    assert set(answer.json()["paths"]["/v2/repository/models/{model}/instances"]) == {"get", "post"}


def test_a_worker_of_the_first_instance_is_restarted_as_itself_after_a_change(server: Server) -> None:
    assert resize(server, 2).status == 200
    first, second = settled(server, 2)
    server.kill(ServerProcess(first, "tis_workers"))
    eventually(lambda: [each["state"] for each in instances(server)] == ["READY", "READY"], "it is back")
    again = instances(server)
    assert [each["name"] for each in again] == ["echo_0_0", "echo_0_1"]
    assert again[0]["pid"] != first
    assert again[1]["pid"] == second
