from tis.config.defaults import normalized, with_instance_groups
from tis.config.proto import Message, ModelConfig
from tis.config.source import parse_text
from tis.config.spec import instances_of, model_spec
from tis.contracts.model_spec import InstanceSpec, TensorSpec
from tis.contracts.scheduling_spec import DynamicBatcherSpec


def placed(text: str, gpu_count: int = 0) -> Message:
    return with_instance_groups(
        normalized(parse_text(f'name: "m" {text}', "p")), gpu_count=gpu_count, backend_uses_gpu=True
    )


def test_a_full_config_becomes_a_spec() -> None:
    config = placed(
        'backend: "onnxruntime" platform: "onnxruntime_onnx" default_model_filename: "model.onnx" max_batch_size: 8 '
        "dynamic_batching { preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100 } "
        'input { name: "A" data_type: TYPE_FP32 dims: [2, -1] optional: true reshape { shape: [1, 2, -1] } } '
        'input { name: "T" data_type: TYPE_STRING dims: 1 reshape { } } '
        'output { name: "X" data_type: TYPE_BF16 dims: 3 label_filename: "l.txt" } '
        'parameters { key: "b" value { string_value: "2" } } parameters { key: "a" value { string_value: "1" } }'
    )
    spec = model_spec(config, version=3, model_path="/models/m")
    assert (spec.name, spec.version, spec.key) == ("m", 3, ("m", 3))
    assert (spec.platform, spec.backend, spec.filename) == ("onnxruntime_onnx", "onnxruntime", "model.onnx")
    assert (spec.max_batch_size, spec.decoupled, spec.model_path) == (8, False, "/models/m")
    assert spec.inputs == (
        TensorSpec("A", "FP32", (2, -1), optional=True, reshape=(1, 2, -1)),
        TensorSpec("T", "BYTES", (1,), reshape=()),
    )
    assert spec.outputs == (TensorSpec("X", "BF16", (3,), label_filename="l.txt"),)
    assert spec.batcher == DynamicBatcherSpec((4, 8), 100)
    assert list(spec.parameters.items()) == [("a", "1"), ("b", "2")]
    assert spec.instances == (InstanceSpec("m_0", "CPU"), InstanceSpec("m_1", "CPU"))
    assert ModelConfig.FromString(spec.config) == config


def test_without_dynamic_batching_there_is_no_batcher() -> None:
    assert model_spec(placed('backend: "python" max_batch_size: 8'), version=1, model_path="/m").batcher is None


def test_instances_are_numbered_within_their_group() -> None:
    groups = 'instance_group [ { count: 2 kind: KIND_CPU }, { name: "g" kind: KIND_MODEL } ]'
    assert instances_of(placed(groups)) == (
        InstanceSpec("m_0_0", "CPU"),
        InstanceSpec("m_0_1", "CPU"),
        InstanceSpec("g_0", "MODEL"),
    )


def test_a_gpu_group_has_its_count_on_every_gpu() -> None:
    assert instances_of(placed("instance_group { count: 2 }", gpu_count=2)) == (
        InstanceSpec("m_0_0", "GPU", 0),
        InstanceSpec("m_0_0", "GPU", 1),
        InstanceSpec("m_0_1", "GPU", 0),
        InstanceSpec("m_0_1", "GPU", 1),
    )
    assert instances_of(placed("instance_group { kind: KIND_GPU gpus: 1 }", gpu_count=2)) == (
        InstanceSpec("m_0_0", "GPU", 1),
    )
