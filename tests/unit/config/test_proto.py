import os
import subprocess
import sys

import pytest

from tis.config import proto

SAME_CLASSES = """
text = ours.ModelConfig(name="m", max_batch_size=4).SerializeToString()
assert theirs.ModelConfig is ours.ModelConfig
assert theirs.ModelConfig.FromString(text) == ours.ModelConfig.FromString(text)
from tritonclient.grpc import service_pb2
answer = service_pb2.ModelConfigResponse(config=ours.ModelConfig(name="m"))
assert isinstance(answer.config, ours.ModelConfig)
from tritonclient.grpc import InferenceServerClient
"""
OURS = "from tis.config.proto import model_config_pb2 as ours\n"
THEIRS = "import tritonclient.grpc.model_config_pb2 as theirs\n"
ORDERS = {"ours first": OURS + THEIRS, "theirs first": THEIRS + OURS}


def run(code: str, **environment: str) -> None:
    command = [sys.executable, "-c", code]
    env = os.environ | environment
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("protobuf", ["upb", "python"])
@pytest.mark.parametrize("order", ORDERS)
def test_message_classes_are_the_same_objects_as_tritonclients_in_both_import_orders(order: str, protobuf: str) -> None:
    run(ORDERS[order] + SAME_CLASSES, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=protobuf)


def test_every_config_and_repository_module_loads_without_grpc_or_a_model_framework() -> None:
    run(
        "import sys, pkgutil, importlib, tis.config, tis.repository\n"
        "for package in (tis.config, tis.repository):\n"
        "    for module in pkgutil.iter_modules(package.__path__):\n"
        "        importlib.import_module(f'{package.__name__}.{module.name}')\n"
        "heavy = {'grpc', 'tritonclient.grpc', 'onnxruntime', 'onnx', 'torch', 'starlette', 'zmq'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


def test_proto_itself_does_not_need_numpy() -> None:
    run("import sys, tis.config.proto\nassert 'numpy' not in sys.modules")


def test_a_copy_is_independent_of_its_original() -> None:
    original = proto.ModelConfig(name="m")
    copy = proto.copy_of(original)
    copy.name = "other"
    copy.input.add().name = "A"
    assert original == proto.ModelConfig(name="m")


def test_enum_values_are_named_and_unknown_numbers_stay_digits() -> None:
    assert proto.enum_name(proto.ModelInput(data_type=11), "data_type") == "TYPE_FP32"
    assert proto.enum_name(proto.ModelInput(data_type=99), "data_type") == "99"


def test_maps_and_repeated_fields_are_told_apart_from_single_ones() -> None:
    fields = proto.ModelConfig.DESCRIPTOR.fields_by_name
    assert [proto.is_repeated(fields[name]) for name in ("name", "input", "parameters")] == [False, True, True]
    assert [proto.is_map(fields[name]) for name in ("name", "input", "parameters", "optimization")] == [
        False,
        False,
        True,
        False,
    ]
