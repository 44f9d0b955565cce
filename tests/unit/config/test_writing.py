"""A config written in one form and read again is the same config."""

from pathlib import Path

import pytest

from tis.config.defaults import normalized, with_instance_groups
from tis.config.source import parse_text, read_config
from tis.config.writing import FORMATS, written
from tis.errors import Code, TisError

TEXT = """
name: "m" platform: "onnxruntime_onnx" backend: "onnxruntime" max_batch_size: 8
input { name: "A: {no} 'yes'" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ ] } }
output { name: "off" data_type: TYPE_STRING dims: 1 }
dynamic_batching { max_queue_delay_microseconds: 9007199254740993 priority_levels: 2 default_priority_level: 1
  priority_queue_policy { key: 2 value { timeout_action: DELAY } } }
parameters { key: "1.5" value { string_value: "null" } } metric_tags { key: "a" value: "ü\\n" }
optimization { cuda { graph_spec { batch_size: 1 input { key: "A" value { dim: [ 3, 4 ] } } } } }
model_metrics { metric_control { metric_identifier { family: "f" } histogram_options { buckets: [ 0.1, 1e300 ] } } }
"""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("defaults", [True, False])
@pytest.mark.parametrize("complete", [True, False])
def test_what_is_written_is_read_again(form: str, defaults: bool, complete: bool, tmp_path: Path) -> None:
    config = parse_text(TEXT, "p")
    if complete:
        config = with_instance_groups(normalized(config), gpu_count=2, backend_uses_gpu=True)
    path = tmp_path / f"config.{form}"
    path.write_text(written(config, form, defaults=defaults), encoding="utf-8")
    assert read_config(path, missing_ok=False).config == config


def test_without_defaults_only_what_is_set_is_written() -> None:
    config = parse_text('name: "m" input { name: "A" dims: 1 } dynamic_batching { }', "p")
    assert written(config, "yaml", defaults=False) == "name: m\ninput:\n- name: A\n  dims: [1]\ndynamic_batching: {}\n"


def test_yaml_without_its_package_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(TisError, match=r"pip install 'tis\[yaml\]'") as caught:
        written(parse_text("", "p"), "yaml")
    assert caught.value.code is Code.UNSUPPORTED
    path = tmp_path / "config.yaml"
    path.write_text("name: m\n")
    with pytest.raises(TisError, match=r"failed to read YAML from .*config\.yaml: YAML configs need a package"):
        read_config(path, missing_ok=True)
