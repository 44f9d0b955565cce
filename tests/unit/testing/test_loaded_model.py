"""Models of every kind loaded and asked without a server: `tis.testing`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.models import add_sub, identity
from tests.harness.native_models import write_identity, write_repeat
from tests.harness.python_models import CODE, CODE_BATCHED, CODE_DECOUPLED, PythonModel
from tests.harness.repository import BATCHING, one_cpu
from tests.harness.sequence_models import CONTROLS, START, SUM_STATE, accumulator, write
from tis.errors import Code
from tis.testing import LoadedModel, ModelError, load_model, make_request


def code(model: LoadedModel, text: str, **options: Any) -> list[str]:
    """Run code in a model; what it answers."""
    shape = (1, 1) if model.spec.max_batch_size else (1,)
    answer = model.infer({"CODE": np.array([text], object).reshape(shape)}, **options)
    return [each.decode() for each in answer["OUT"].ravel().tolist()]


def refusal(model: LoadedModel, inputs: dict[str, Any], **options: Any) -> tuple[Code, str]:
    with pytest.raises(ModelError) as caught:
        model.infer(inputs, **options)
    return caught.value.code, caught.value.message


# ---- backends ----------------------------------------------------------------------------------------------------------


def test_an_onnx_model_answers_alone_and_in_a_batch(tmp_path: Path) -> None:
    add_sub(("b", 4)).write(tmp_path, "simple", max_batch_size=8, extra=one_cpu() + BATCHING)
    with load_model(tmp_path / "simple") as model:
        inputs = {"INPUT0": [[1, 2, 3, 4]], "INPUT1": np.ones((1, 4), np.int32)}
        assert model.infer(inputs)["OUTPUT0"].tolist() == [[2, 3, 4, 5]]
        assert list(model.infer(inputs, outputs=["OUTPUT1"])) == ["OUTPUT1"]
        answers = model.batch([inputs, inputs])
        assert [each["OUTPUT1"].tolist() for each in answers if isinstance(each, dict)] == [[[0, 1, 2, 3]]] * 2
        with pytest.raises(ModelError, match="9 requests with 9 items are no batch of model 'simple'"):
            model.batch([inputs] * 9)


def test_a_model_without_a_config_is_completed_from_its_file(tmp_path: Path) -> None:
    identity("FP32", ["b", 3]).write_version(tmp_path, "bare", 1)
    with load_model(tmp_path / "bare") as model:
        assert (model.spec.backend, model.spec.max_batch_size, model.spec.inputs[0].shape) == ("onnxruntime", 4, (3,))


def test_the_latest_version_is_loaded_or_the_one_that_is_named(tmp_path: Path) -> None:
    extra = "version_policy { all { } }\n" + one_cpu()
    for version in (1, 3):
        identity("FP32", ["b", 3]).write(tmp_path, "m", max_batch_size=1, extra=extra, version=version)
    for asked, version in ((0, 3), (1, 1)):
        with load_model(tmp_path / "m", version=asked) as model:
            assert model.spec.version == version


def test_backends_without_files_answer_too(tmp_path: Path) -> None:
    write_identity(tmp_path, "same", "STRING", "-1")
    write_repeat(tmp_path)
    with load_model(tmp_path / "same") as model:
        assert model.infer({model.spec.inputs[0].name: ["a", b"b"]})[model.spec.outputs[0].name].tolist() == [
            b"a",
            b"b",
        ]
    with load_model(tmp_path / "repeat") as model:
        assert model.spec.decoupled
        answers = list(model.stream({"IN": np.array([4, 5], np.int32), "DELAY": [0, 0], "WAIT": [0]}))
        assert [each["OUT"].item() for each in answers] == [4, 5]


# ---- Python models -----------------------------------------------------------------------------------------------------


def test_a_python_model_sees_what_a_server_would_show_it(tmp_path: Path) -> None:
    with load_model(CODE.write(tmp_path, "m")) as model:
        shown = "out = [R((request.request_id(), request.parameters()))]"
        assert code(model, shown, request_id="7", parameters={"a": 1}) == ["""('7', '{"a":1}')"""]
        shown = "out = [R((self.args['model_instance_name'], self.args['model_version']))]"
        assert code(model, shown) == ["('m_0_0', '1')"]
        answer = model.infer({"CODE": ["out = [R(1, parameters={'p': 2})]"]})
        assert (answer.parameters, answer.datatypes) == ({"p": 2}, {"OUT": "BYTES"})


def test_a_models_exception_is_the_requests_error(tmp_path: Path) -> None:
    with load_model(CODE.write(tmp_path, "m")) as model:
        kind, text = refusal(model, {"CODE": ["raise ValueError('so')"]})
        assert kind == Code.INTERNAL
        assert "message: ValueError: so\n\nAt:\n  <string>(1): <module>" in text
        _, text = refusal(model, {"CODE": ["out = 3"]})
        assert "Expected a list in the execute return" in text
        asked = {"CODE": ["out = [pb.InferenceResponse(error=pb.TritonError('no', pb.TritonError.NOT_FOUND))]"]}
        assert refusal(model, asked) == (Code.NOT_FOUND, "no")


def test_requests_that_do_not_fit_are_refused_in_the_servers_words(tmp_path: Path) -> None:
    with load_model(CODE.write(tmp_path, "m")) as model:
        assert refusal(model, {"X": [1]}, request_id="5")[0] == Code.INVALID_ARG
        assert "data-type is 'FP64', but model 'm' expects 'BYTES'" in refusal(model, {"CODE": np.ones(1)})[1]
        assert "unexpected inference output 'no'" in refusal(model, {"CODE": ["1"]}, outputs=["no"])[1]
        assert "'complex128', which no datatype" in refusal(model, {"CODE": np.ones(1, complex)})[1]


def test_a_batch_is_one_execution(tmp_path: Path) -> None:
    with load_model(CODE_BATCHED.write(tmp_path, "m")) as model:
        asked = {"CODE": [["out = [R(len(requests)) for _ in requests]"]]}
        assert [each["OUT"].item() for each in model.batch([asked] * 3) if isinstance(each, dict)] == [b"3"] * 3


def test_responses_of_threads_are_waited_for(tmp_path: Path) -> None:
    in_a_thread = (
        "def work(sender):\n    for i in range(3):\n        sender.send(R(i))\n    sender.send(flags=1)\n"
        "threading.Thread(target=work, args=(request.get_response_sender(),)).start()"
    )
    with load_model(CODE_DECOUPLED.write(tmp_path, "m")) as model:
        assert [each["OUT"].item() for each in model.stream({"CODE": [in_a_thread]})] == [b"0", b"1", b"2"]
        with pytest.raises(ValueError, match="gave 3 responses"):
            model.infer({"CODE": [in_a_thread]})
        assert list(model.stream({"CODE": ["request.get_response_sender()"]})) == [], "a dropped sender ends a request"
        with pytest.raises(ModelError, match="has not sent its last response in time"):
            model.stream({"CODE": ["self.kept['s'] = request.get_response_sender()"]}, timeout_s=0)


def test_models_with_modules_of_the_same_names_do_not_mix(tmp_path: Path) -> None:
    source = (
        "import numpy as np\nimport helper\nimport triton_python_backend_utils as pb\n\n\nclass TritonPythonModel:\n"
        "    def execute(self, requests):\n        import later\n"
        "        text = np.array([helper.WHO + later.WHO], object)\n"
        "        return [pb.InferenceResponse([pb.Tensor('OUT', text)]) for _ in requests]\n"
    )
    config = (
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
        'output [ { name: "OUT" data_type: TYPE_STRING dims: [ 1 ] } ]\n'
    )
    for name in ("a", "b"):
        files = {"1/helper.py": f"WHO = {name!r}\n", "1/later.py": "WHO = '!'\n"}
        PythonModel(source, config, files=files).write(tmp_path, name)
    before = list(sys.path)
    with load_model(tmp_path / "a") as a, load_model(tmp_path / "b") as b:
        assert [model.infer({"X": [1]})["OUT"].item() for model in (a, b, a)] == [b"a!", b"b!", b"a!"]
    assert sys.path == before
    assert not [name for name in sys.modules if name in ("helper", "later") or name.partition(".")[0].isdigit()]


def test_why_a_model_cannot_be_loaded_is_told_with_its_own_exception(tmp_path: Path) -> None:
    before = list(sys.path)
    with pytest.raises(ModelError, match="No module named 'nowhere'") as caught:
        load_model(PythonModel("import nowhere\n").write(tmp_path, "m"))
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert sys.path == before
    with pytest.raises(ModelError, match="there is no model's directory"):
        load_model(tmp_path / "none")


def test_what_has_been_finalized_answers_no_more(tmp_path: Path) -> None:
    model = load_model(CODE.write(tmp_path, "m"))
    model.finalize()
    model.finalize()
    with pytest.raises(ValueError, match="has been finalized"):
        model.infer({"CODE": ["1"]})


# ---- sequences and ensembles -------------------------------------------------------------------------------------------


def test_a_model_of_sequences_gets_its_controls_and_keeps_its_states(tmp_path: Path) -> None:
    write(accumulator(), tmp_path, "sums", START + SUM_STATE % "")
    with load_model(tmp_path / "sums") as model:

        def add(number: int, sequence: int, *, start: bool = False, end: bool = False) -> int:
            options: dict[str, Any] = {"sequence_id": sequence, "sequence_start": start, "sequence_end": end}
            found: int = model.infer({"INPUT": [[number]]}, **options)["SUM"].item()
            return found

        assert [add(1, 7, start=True), add(10, 8, start=True), add(2, 7), add(20, 8, end=True)] == [1, 10, 3, 30]
        assert add(3, 7, end=True) == 6
        with pytest.raises(ModelError, match="must specify the START flag on the first request of the sequence"):
            add(1, 7)


def test_controls_are_seen_by_python_models(tmp_path: Path) -> None:
    config = CODE.config or ""
    folder = PythonModel(CODE.source, config + f"sequence_batching {{ {CONTROLS} }}\n").write(tmp_path, "m")
    with load_model(folder) as model:
        shown = "out = [R([int(t.as_numpy().item()) for t in request.inputs() if t.name() in ('START', 'CORRID')])]"
        assert code(model, shown, sequence_id=9, sequence_start=True) == ["[1, 9]"]


def test_an_ensemble_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "e" / "1").mkdir(parents=True)
    maps = 'input_map { key: "X" value: "X" } output_map { key: "Y" value: "Y" }'
    step = f'step [ {{ model_name: "m" model_version: -1 {maps} }} ]'
    tensor = '{ name: "%s" data_type: TYPE_FP32 dims: [ 1 ] }'
    (tmp_path / "e" / "config.pbtxt").write_text(
        f'platform: "ensemble"\ninput [ {tensor % "X"} ]\noutput [ {tensor % "Y"} ]\nensemble_scheduling {{ {step} }}\n'
    )
    with pytest.raises(ModelError, match="test the models of its steps one by one") as caught:
        load_model(tmp_path / "e")
    assert caught.value.code == Code.UNSUPPORTED


# ---- execute called directly -------------------------------------------------------------------------------------------


def test_a_request_for_execute_can_be_made_without_a_config() -> None:
    asked = {"X": np.arange(3, dtype=np.float32), "S": ["a"]}
    request = make_request(asked, outputs=["Y"], parameters={"k": "v"}, request_id="1")
    assert {each.name(): each.as_numpy().tolist() for each in request.inputs()} == {"X": [0, 1, 2], "S": [b"a"]}
    assert (request.request_id(), request.parameters()) == ("1", '{"k":"v"}')
    assert request.requested_output_names() == {"Y"}
    assert not request.is_cancelled()


def test_the_module_of_models_is_importable_and_writable_for_in_any_python_that_has_the_server(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(CODE.source)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from model import TritonPythonModel; from tis.testing import make_request\n"
        "import triton_python_backend_utils as pb\n"
        "model = TritonPythonModel(); model.initialize({})\n"
        "(response,) = model.execute([make_request({'CODE': ['out = [R(1)]']})])\n"
        "print(pb.get_output_tensor_by_name(response, 'OUT').as_numpy())\n"
    )
    command = [sys.executable, "-B", "-P", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("['1']\n", "")
