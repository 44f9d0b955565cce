"""Where `tools/run` puts its server: what it finds out before it starts one."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.demo.options import parse
from tools.demo.place import EXAMPLES, CannotStartError, find_place


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.parametrize(
    ("arguments", "once", "flags"),
    [
        ([], False, ()),
        (["--once"], True, ()),
        (["--http-port=8010", "--once"], True, ("--http-port=8010",)),
        (["--http-port", "8010"], False, ("--http-port", "8010")),
        (["--once", "--", "--once"], True, ("--once",)),
    ],
)
def test_flags_that_are_not_its_own_go_to_the_server(arguments: list[str], once: bool, flags: tuple[str, ...]) -> None:
    options = parse(arguments)
    assert options.once is once
    assert options.server_flags == flags


def test_without_flags_the_examples_are_served_on_the_ports_chosen() -> None:
    place = find_place(["--http-port=0", "--grpc-port=0", "--metrics-port=0"])
    assert place.flags[0] == f"--model-repository={EXAMPLES}"
    assert {"simple", "text_recognition", "ensemble_model", "ocr_bls"} <= set(place.models)
    assert place.is_of_examples
    assert not place.http.endswith(":0")
    assert f"--http-port={place.http.removeprefix('localhost:')}" in place.flags


def test_a_repository_of_ones_own_takes_the_place_of_the_examples(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    place = find_place(
        [f"--model-repository={tmp_path}", "--http-port=0", "--allow-grpc=false", "--allow-metrics=false"]
    )
    assert place.models == ("mine",)
    assert place.grpc == ""
    assert not place.is_of_examples


def test_a_taken_port_is_named_together_with_the_flag_for_another(taken_port: int) -> None:
    with pytest.raises(CannotStartError) as caught:
        find_place(["--http-address=127.0.0.1", f"--http-port={taken_port}", "--grpc-port=0", "--metrics-port=0"])
    assert f"port {taken_port} (HTTP, 127.0.0.1) cannot be used: Address already in use" in str(caught.value)
    assert "tools/run --http-port=" in str(caught.value)


def test_metrics_get_a_port_unless_they_are_off(taken_port: int) -> None:
    ports = ["--http-port=0", "--grpc-port=0", "--metrics-address=127.0.0.1", f"--metrics-port={taken_port}"]
    with pytest.raises(CannotStartError, match=rf"port {taken_port} \(Metrics, 127.0.0.1\) cannot be used"):
        find_place(ports)
    assert not any(flag.startswith("--metrics-port=0") for flag in find_place([*ports, "--allow-metrics=false"]).flags)


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--nonsense", "unrecognized option '--nonsense'"),
        ("--allow-http=false", "--allow-http=false does not go with it"),
        ("--model-repository=/nonexistent", "/nonexistent"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(flag: str, reason: str) -> None:
    with pytest.raises(CannotStartError, match=reason):
        find_place([flag])
