"""`--model-namespacing`: repositories with models of the same name, served side by side. Texts are those of Triton 2.51."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.harness.faces import FACES, Call, Face, Refusal, refusal
from tests.harness.fixtures import StartServer
from tests.harness.namespaces import write_adder, write_asker, write_ensemble, write_namespaces
from tests.harness.scrape import scrape
from tests.harness.server import Server, serving
from tests.harness.waiting import eventually

AMBIGUOUS = (
    "There are 2 identifiers of model 'both' in global map, model namespace must be provided to resolve ambiguity."
)
_DEADLINE_S = 30.0


def flags(*repositories: Path) -> list[str]:
    return [f"--model-repository={each}" for each in repositories] + ["--model-namespacing=true"]


def call(model: str) -> Call:
    return Call(model, {"INPUT0": np.zeros(4, np.int32)})


def added(face: Face, model: str) -> int:
    """What a model adds."""
    return int(face.infer(call(model)).outputs["OUTPUT0"][0])


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    first, second = write_namespaces(tmp_path_factory.mktemp("namespaces"))
    write_ensemble(first, "ensemble_other", "only_2")
    write_asker(first, "asks_own", "both")
    write_asker(first, "asks_other", "only_2")
    write_asker(first, "asks_identifier", f"{second}::both")
    return first, second


@pytest.fixture(scope="module")
def spaces(repositories: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    first, second = repositories
    log = tmp_path_factory.mktemp("log") / "log"
    with serving(Server(first, *flags(second), "--metrics-port=0", log=log)) as server:
        yield server


@pytest.fixture(params=["http", "grpc"])
def asker(request: pytest.FixtureRequest, spaces: Server) -> Iterator[Face]:
    client = FACES[request.param](spaces)
    yield client
    client.close()


def identifier(face: Face, repository: Path, model: str) -> str:
    """As this client must be given it: that of HTTP leaves slashes in addresses as they are."""
    return status(face, quote(str(repository), safe=""), str(repository)) + f"::{model}"


def status(face: Face, http: str, grpc: str) -> str:
    return grpc if "Grpc" in type(face).__name__ else http


def error_of(ask: Callable[[], Any]) -> str:
    with pytest.raises(InferenceServerException) as caught:
        ask()
    return str(caught.value.message())


# ---- requests --------------------------------------------------------------------------------------------------------


def test_a_name_that_one_model_has_is_enough_and_answers_bear_it(asker: Face) -> None:
    answer = asker.infer(call("only_2"))
    assert (answer.model, answer.version, list(answer.outputs["OUTPUT0"])) == ("only_2", "1", [20] * 4)
    assert added(asker, "only_1") == 10
    assert asker.ask("get_model_metadata", "only_1")["name"] == "only_1"
    config = asker.ask("get_model_config", "only_1")
    assert config.get("config", config)["name"] == "only_1"
    assert asker.ask("is_model_ready", "only_1") is True
    assert asker.ask("get_inference_statistics", "only_1")["model_stats"][0]["name"] == "only_1"
    assert "trace_rate" in json.dumps(asker.ask("get_trace_settings", "only_1"))


def test_a_name_that_two_models_have_is_refused(asker: Face) -> None:
    expected = status(asker, "400", "INVALID_ARGUMENT")
    assert refusal(asker, call("both")) == Refusal(expected, AMBIGUOUS)
    assert refusal(asker, Call("both", call("both").inputs, version="1")) == Refusal(expected, AMBIGUOUS)
    assert error_of(lambda: asker.ask("get_model_metadata", "both")) == AMBIGUOUS
    assert error_of(lambda: asker.ask("get_model_config", "both")) == AMBIGUOUS
    assert asker.ask("is_model_ready", "both") is False
    statistics = error_of(lambda: asker.ask("get_inference_statistics", "both"))
    assert statistics == "requested model 'both' is not available"
    assert error_of(lambda: asker.ask("get_trace_settings", "both")) == "Request for unknown model : both"


def test_a_name_that_no_model_has_is_refused(asker: Face) -> None:
    expected = status(asker, "400", "INVALID_ARGUMENT")
    assert refusal(asker, call("nobody")) == Refusal(expected, "Request for unknown model: 'nobody' is not found")


def test_a_version_that_is_not_there_is_told_with_the_identifier(asker: Face, repositories: tuple[Path, Path]) -> None:
    text = f"Request for unknown model: '{repositories[0]}::only_1' version 9 is not found"
    refused = refusal(asker, Call("only_1", call("only_1").inputs, version="9"))
    assert refused == Refusal(status(asker, "404", "NOT_FOUND"), text)


def test_an_identifier_names_each_of_them(asker: Face, repositories: tuple[Path, Path]) -> None:
    names = [identifier(asker, each, "both") for each in repositories]
    assert [added(asker, each) for each in names] == [1, 2]
    assert [asker.ask("is_model_ready", each) for each in names] == [True, True]


def test_an_identifier_may_stand_in_an_address(spaces: Server, repositories: tuple[Path, Path]) -> None:
    code, body = spaces.get(f"/v2/models/{quote(str(repositories[1]), safe='')}::both")
    assert (code, json.loads(body)["name"]) == (200, "both")


def test_a_step_of_an_ensemble_is_the_model_of_its_own_namespace_or_else_the_only_one(
    asker: Face, repositories: tuple[Path, Path]
) -> None:
    assert [added(asker, f"ensemble_{each}") for each in ("1", "2", "other")] == [1, 2, 20]
    config = asker.ask("get_model_config", "ensemble_other")
    [step] = config.get("config", config)["ensemble_scheduling"]["step"]
    assert (step["model_name"], step["model_namespace"]) == ("only_2", str(repositories[1]))


def test_a_model_that_asks_others_by_name_finds_those_of_its_own_namespace_first(asker: Face) -> None:
    assert [added(asker, f"asks_{each}") for each in ("own", "other", "identifier")] == [1, 20, 2]


# ---- what is told of all ---------------------------------------------------------------------------------------------


def test_the_index_and_the_statistics_list_all_by_their_names_one_repository_after_the_other(asker: Face) -> None:
    names = ["asks_identifier", "asks_other", "asks_own", "both", "ensemble_1", "ensemble_other", "only_1"]
    names += ["both", "ensemble_2", "only_2"]
    index = asker.ask("get_model_repository_index")
    rows = index["models"] if isinstance(index, dict) else index
    assert [(row["name"], row["state"]) for row in rows] == [(name, "READY") for name in names]
    assert [each["name"] for each in asker.ask("get_inference_statistics")["model_stats"]] == names


def test_the_documents_name_each_model_so_that_it_is_found(spaces: Server, repositories: tuple[Path, Path]) -> None:
    names = [each["name"] for each in json.loads(spaces.get("/docs/models")[1])]
    assert {f"{each}::both" for each in repositories} | {"only_1", "only_2"} <= set(names)
    paths = json.loads(spaces.get("/openapi.json")[1])["paths"]
    for each in repositories:
        [path] = [path for path in paths if path.endswith("::both/infer") and quote(str(each), safe="") in path]
        assert spaces.get(path.removesuffix("/infer"))[0] == 200


def test_metrics_tell_namespaces_apart(spaces: Server, asker: Face, repositories: tuple[Path, Path]) -> None:
    def count(repository: Path) -> float:
        labels = {"model": "both", "namespace": str(repository), "version": "1"}
        return scrape(spaces).value("nv_inference_count", **labels)

    before = [count(each) for each in repositories]
    assert added(asker, identifier(asker, repositories[1], "both")) == 2
    assert [count(each) for each in repositories] == [before[0], before[1] + 1]
    labels = {"model": "only_1", "namespace": str(repositories[0]), "version": "1"}
    assert scrape(spaces).value("nv_model_load_duration_secs", **labels) > 0


def test_trace_settings_of_a_name_are_its_model_s(asker: Face) -> None:
    asker.ask("update_trace_settings", "only_1", {"trace_rate": "7"})
    told = [json.dumps(asker.ask("get_trace_settings", name)) for name in ("only_1", "only_2")]
    assert ['"7"' in each for each in told] == [True, False]
    asker.ask("update_trace_settings", "only_1", {"trace_rate": None})


# ---- changes ---------------------------------------------------------------------------------------------------------


def states(face: Face) -> list[tuple[str, str]]:
    return [(row["name"], row.get("state", "")) for row in face.ask("get_model_repository_index")]


def test_a_client_s_load_and_unload_by_name_are_of_all_models_that_have_it(
    new_server: StartServer, tmp_path: Path
) -> None:
    first, second = write_namespaces(tmp_path)
    explicit = ("--model-control-mode=explicit", "--load-model=both")
    server = new_server(first, *flags(second), *explicit).start()
    face = FACES["http"](server)
    others = [("ensemble_1", ""), ("only_1", ""), ("ensemble_2", ""), ("only_2", "")]
    assert states(face) == [("both", "READY"), *others[:2], ("both", "READY"), *others[2:]]
    face.ask("unload_model", "both")
    eventually(lambda: [s for n, s in states(face) if n == "both"] == ["UNAVAILABLE"] * 2, "both are gone")
    gone = refusal(face, call("both"))
    assert gone == Refusal("404", "Identifier of model 'both' is not found in global map")
    face.ask("load_model", identifier(face, second, "both"))
    assert added(face, "both") == 2
    face.ask("load_model", "both")
    assert refusal(face, call("both")).text == AMBIGUOUS
    face.ask("load_model", "only_1")
    assert added(face, "only_1") == 10
    unknown = error_of(lambda: face.ask("load_model", "nobody"))
    assert unknown == "failed to load 'nobody', failed to poll from model repository"
    face.close()


def test_an_ensemble_brings_the_step_of_its_own_namespace_along_and_lets_it_go(
    new_server: StartServer, tmp_path: Path
) -> None:
    first, second = write_namespaces(tmp_path)
    server = new_server(first, *flags(second), "--model-control-mode=explicit").start()
    face = FACES["grpc"](server)
    face.ask("load_model", "ensemble_2")
    assert (added(face, "ensemble_2"), added(face, "both")) == (2, 2)
    face.ask("unload_model", "both")
    assert refusal(face, call("ensemble_2")).status in ("UNAVAILABLE", "NOT_FOUND")
    face.ask("load_model", "both")
    assert added(face, "ensemble_2") == 2
    face.close()


def test_polling_follows_models_of_the_same_name(new_server: StartServer, tmp_path: Path) -> None:
    first, second = write_namespaces(tmp_path)
    (second / "both").rename(tmp_path / "later")
    shutil.rmtree(second / "ensemble_2")
    server = new_server(first, *flags(second), "--model-control-mode=poll", "--repository-poll-secs=1").start()
    face = FACES["http"](server)
    assert (added(face, "both"), added(face, "ensemble_1")) == (1, 1)
    (tmp_path / "later").rename(second / "both")
    eventually(lambda: states(face).count(("both", "READY")) == 2, "both are served", _DEADLINE_S)
    assert refusal(face, call("both")).text == AMBIGUOUS
    assert added(face, "ensemble_1") == 1
    shutil.rmtree(first / "both")
    eventually(lambda: states(face).count(("both", "READY")) == 1, "one is gone", _DEADLINE_S)
    assert (added(face, "both"), added(face, "ensemble_1")) == (2, 2)
    face.close()


def test_a_step_that_could_be_either_of_two_models_is_none(new_server: StartServer, tmp_path: Path) -> None:
    first, second = write_namespaces(tmp_path)
    third = tmp_path / "third"
    write_adder(third, "alone", 3)
    write_ensemble(third, "neither", "both")
    server = new_server(first, *flags(second, third), "--exit-on-error=false").start()
    text = f"ensemble {third}::neither contains models that are not available or ambiguous: both"
    server.wait_for_log(text, _DEADLINE_S)
    face = FACES["http"](server)
    eventually(lambda: ("alone", "READY") in states(face), "the rest is served", _DEADLINE_S)
    assert refusal(face, call("neither")) == Refusal(
        "404", f"Request for unknown model: '{third}::neither' is not found"
    )
    assert added(face, "alone") == 3
    face.close()


def test_without_the_flag_such_models_are_not_served(new_server: StartServer, tmp_path: Path) -> None:
    first, second = write_namespaces(tmp_path)
    server = new_server(first, f"--model-repository={second}", "--exit-on-error=false").start()
    face = FACES["http"](server)
    eventually(lambda: ("only_2", "READY") in states(face), "the rest is served", _DEADLINE_S)
    assert refusal(face, call("both")).text == "Request for unknown model: 'both' is not found"
    face.close()
