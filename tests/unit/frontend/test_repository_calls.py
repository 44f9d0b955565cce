"""Loads and unloads: what reaches the supervisor, and what is refused before it, over HTTP and gRPC."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import service_pb2 as pb

from tests.unit.frontend.conftest import NewRepositoryBench
from tests.unit.frontend.repository_bench import RepositoryBench as Bench
from tis.contracts import messages as m
from tis.errors import Code

POLL_FAILED = "failed to load 'x', failed to poll from model repository"
NAMED = "'repository_name' specification is not supported"


@pytest.fixture
def bench(repository_bench: NewRepositoryBench) -> Bench:
    return repository_bench()


def bytes_param(data: bytes) -> Any:
    return pb.ModelRepositoryParameter(bytes_param=data)


def string_param(text: str) -> Any:
    return pb.ModelRepositoryParameter(string_param=text)


def bool_param(value: bool) -> Any:
    return pb.ModelRepositoryParameter(bool_param=value)


def files_in(folder: str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


# ---- what reaches the supervisor -------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"3", b'{"parameters":{}}', b'{"other":1}'])
def test_a_plain_load_asks_for_the_model_and_no_more(bench: Bench, body: bytes) -> None:
    assert bench.post("models/x/load", body) == (200, b"")
    assert bench.link.sent == [m.RepositoryLoad(1, 7, "x")]


def test_every_call_has_a_number_of_its_own(bench: Bench) -> None:
    bench.post("models/x/load")
    bench.grpc("Load", model_name="y")
    bench.post("models/x/unload")
    bench.grpc("Unload", model_name="")
    assert bench.link.sent == [
        m.RepositoryLoad(1, 7, "x"),
        m.RepositoryLoad(2, 7, "y"),
        m.RepositoryUnload(3, 7, "x"),
        m.RepositoryUnload(4, 7, ""),
    ]


def test_a_config_goes_along_and_an_empty_one_is_not_taken_for_none(bench: Bench) -> None:
    bench.post("models/x/load", {"parameters": {"config": '{"backend":"é"}'}})
    bench.grpc("Load", model_name="x", parameters={"config": string_param("{}")})
    bench.post("models/x/load", {"parameters": {"config": ""}})
    assert [call.config for call in bench.link.sent] == ['{"backend":"é"}', "{}", " "]
    assert not any(call.folder for call in bench.link.sent)


def test_files_are_handed_over_as_a_directory_of_the_servers_own(bench: Bench) -> None:
    content = bytes(range(256)) * 5
    text = base64.b64encode(content).decode()
    bench.post(
        "models/x/load",
        {"parameters": {"file:1/model.onnx": text, "config": "{}", "file:/a/../labels.txt": "QQ\n", "file:empty": ""}},
    )
    bench.grpc(
        "Load",
        model_name="x",
        parameters={"config": string_param("{}"), "file:1/model.onnx": bytes_param(content)},
    )
    first, second = bench.link.sent
    assert files_in(first.folder) == {"1/model.onnx": content, "labels.txt": b"A", "empty": b""}
    assert files_in(second.folder) == {"1/model.onnx": content}
    assert bench.left == sorted([Path(first.folder), Path(second.folder)])
    assert all(path.stat().st_mode & 0o077 == 0 for path in bench.left)


def test_the_supervisors_answer_is_the_clients(bench: Bench) -> None:
    bench.link.reply = ("INVALID_ARG", "load failed for model 'x': because\n")
    assert bench.error("models/x/load") == (400, "load failed for model 'x': because\n")
    assert bench.grpc_error("Load", model_name="x") == (Code.INVALID_ARG, "load failed for model 'x': because\n")


def test_a_load_goes_on_when_its_client_has_gone(bench: Bench) -> None:
    bench.link.reply = None
    data = pb.RepositoryModelLoadRequest(
        model_name="x", parameters={"config": string_param("{}"), "file:1/m": bytes_param(b"m")}
    ).SerializeToString()

    async def leave() -> None:
        call = asyncio.ensure_future(bench.unary["RepositoryModelLoad"](data))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await bench.link.heard.wait()
        bench.link.answer("INTERNAL", "nobody hears this")
        await asyncio.sleep(0)

    bench.run(leave())
    assert files_in(bench.link.sent[0].folder) == {"1/m": b"m"}


def test_files_are_removed_where_the_call_cannot_be_sent(bench: Bench) -> None:
    bench.link.gone = True
    with pytest.raises(OSError, match="nobody is there"):
        bench.grpc("Load", model_name="x", parameters={"config": string_param("{}"), "file:1/m": bytes_param(b"m")})
    assert bench.left == []


@pytest.mark.parametrize(
    ("body", "dependents"),
    [
        (b"", False),
        (b'{"parameters":{"unload_dependents":true}}', True),
        (b'{"parameters":{"unload_dependents":false}}', False),
        (b'{"parameters":{"unload_dependents":"true"}}', False),
        (b'{"parameters":{"unload_dependents":1}}', False),
        (b'{"parameters":{"x":1}}', False),
        (b'{"parameters":[1]}', False),
        (b'{"parameters":{"unload_dependents":tru', False),
        (b"hello", False),
    ],
)
def test_an_unload_over_http_happens_whatever_is_wrong_with_its_parameters(
    bench: Bench, body: bytes, dependents: bool
) -> None:
    assert bench.post("models/x/unload", body) == (200, b"")
    assert bench.link.sent == [m.RepositoryUnload(1, 7, "x", dependents)]


def test_an_unload_over_grpc_takes_its_one_parameter(bench: Bench) -> None:
    bench.grpc("Unload", model_name="x", parameters={"unload_dependents": bool_param(True), "y": string_param("z")})
    bench.grpc("Unload", model_name="x", parameters={"unload_dependents": bool_param(False)})
    assert [call.dependents for call in bench.link.sent] == [True, False]


# ---- what is refused before it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("models/x/load", {"parameters": {"foo": "x"}}, 500, "unexpected error on creating Triton parameter"),
        ("models/x/load", {"parameters": {"File:x": "QQ=="}}, 500, "unexpected error on creating Triton parameter"),
        ("models/x/load", {"parameters": {"foo": 3}}, 500, "attempt to access JSON non-string as string"),
        ("models/x/load", {"parameters": {"config": None}}, 500, "attempt to access JSON non-string as string"),
        ("models/x/load", {"parameters": {"config": {}}}, 500, "attempt to access JSON non-string as string"),
        ("models/x/load", {"parameters": None}, 500, "attempt to get members for non-object"),
        ("models/x/load", {"parameters": [1]}, 500, "attempt to get members for non-object"),
        ("models/x/load", b"hello", 500, "failed to parse the request JSON buffer: Invalid value. at 0"),
        ("models/x/load", b" ", 500, "failed to parse the request JSON buffer: The document is empty. at 1"),
        ("models/x/load", {"parameters": {"file:1/m": "QQ=="}}, 500, POLL_FAILED),
        ("y/models/x/load", b"hello", 501, NAMED),
        ("y/models/x/unload", b"hello", 501, NAMED),
        ("models//load", b"", 404, "Not Found"),
    ],
)
def test_a_wrong_call_over_http_is_refused_in_tritons_words(
    bench: Bench, path: str, body: bytes | dict[str, Any], status: int, text: str
) -> None:
    assert bench.error(path, body) == (status, text)
    assert bench.link.sent == []
    assert bench.left == []


@pytest.mark.parametrize(
    ("method", "fields", "code", "text"),
    [
        ("Load", {"parameters": {"foo": string_param("x")}}, Code.INVALID_ARG, "unrecognized load parameter 'foo'."),
        (
            "Load",
            {"parameters": {"config": bytes_param(b"{}")}},
            Code.INVALID_ARG,
            "invalid value type for load parameter 'config', expected string_param.",
        ),
        (
            "Load",
            {"parameters": {"file:1/m": string_param("QQ==")}},
            Code.INVALID_ARG,
            "invalid value type for load parameter 'file:1/m', expected bytes_param.",
        ),
        ("Load", {"parameters": {"file:1/m": bytes_param(b"m")}}, Code.INTERNAL, POLL_FAILED),
        (
            "Unload",
            {"parameters": {"unload_dependents": string_param("true")}},
            Code.INVALID_ARG,
            "invalid value type for 'unload_dependents' parameter, expected bool_param.",
        ),
        ("Load", {"repository_name": "y"}, Code.UNSUPPORTED, NAMED),
        ("Unload", {"repository_name": "y"}, Code.UNSUPPORTED, NAMED),
    ],
)
def test_a_wrong_call_over_grpc_is_refused_in_tritons_words(
    bench: Bench, method: str, fields: dict[str, Any], code: Code, text: str
) -> None:
    assert bench.grpc_error(method, model_name="x", **fields) == (code, text)
    assert bench.link.sent == []
    assert bench.left == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("../evil", "QQ=="),
        ("1/../../evil", "QQ=="),
        ("/../evil", "QQ=="),
        ("..", "QQ=="),
        ("", "QQ=="),
        ("/", "QQ=="),
        ("1/", "QQ=="),
        ("a\0b", "QQ=="),
        ("n" * 300, "QQ=="),
        ("1/model.py/x", "QQ=="),
        ("1", "QQ=="),
        ("1/m", "!!!"),
        ("1/m", "QQ=Q"),
        ("1/m", "QQQQQ"),
        ("1/m", "é"),
    ],
)
def test_files_that_make_no_directory_are_refused_and_leave_nothing(bench: Bench, path: str, content: str) -> None:
    parameters = {"config": "{}", "file:1/model.py": "QQ==", f"file:{path}": content}
    assert bench.error("models/x/load", {"parameters": parameters}) == (500, POLL_FAILED)
    assert bench.link.sent == []
    assert bench.left == []
    assert not (bench.runtime_dir.parent / "evil").exists()


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_clients_may_load_and_unload_in_explicit_mode_only(repository_bench: NewRepositoryBench, mode: str) -> None:
    bench = repository_bench(model_control_mode=mode)
    text = "explicit model load / unload is not allowed if polling is enabled"
    with_files = {"parameters": {"file:1/m": "QQ==", "config": "{}"}}
    for path, body in (("models/x/load", {}), ("models/x/load", with_files), ("models/x/unload", {})):
        assert bench.error(path, body) == (503, text)
    for method in ("Load", "Unload"):
        assert bench.grpc_error(method, model_name="x") == (Code.UNAVAILABLE, text)
    assert bench.link.sent == []
    assert bench.left == []


def test_a_body_that_is_too_large_is_refused(repository_bench: NewRepositoryBench) -> None:
    bench = repository_bench(http_max_input_bytes=100)
    status, text = bench.error("models/x/load", {"parameters": {"config": " " * 100}})
    assert status == 400
    assert text.startswith("request JSON size of 130 bytes exceeds the maximum allowed input size of 100 bytes.")
    assert bench.link.sent == []
