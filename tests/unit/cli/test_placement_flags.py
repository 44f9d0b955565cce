"""Flags that say where instances run, in the words of Triton 2.51 for what cannot be read."""

import pytest

from tis.cli.parser import UsageError, parse_flags
from tis.settings import ServerSettings


def settings(*flags: str) -> ServerSettings:
    return parse_flags(["--model-repository=/models", *flags])


def test_policies_and_limits_are_kept_in_the_order_given() -> None:
    chosen = settings(
        "--host-policy=gpu_0,numa-node=0",
        "--host-policy=gpu_0,cpu-cores=0-3,8-8",
        "--model-load-gpu-limit=0:0.8",
        "--model-load-gpu-limit=1:1",
        "--min-supported-compute-capability=7.5",
    )
    assert chosen.host_policies == (("gpu_0", "numa-node", "0"), ("gpu_0", "cpu-cores", "0-3,8-8"))
    assert chosen.model_load_gpu_limits == ((0, 0.8), (1, 1.0))
    assert chosen.min_supported_compute_capability == 7.5


_FORMAT = "--host-policy option format is '<policy name>,<setting>=<value>'. Got "
_PAIR = (
    "Cannot parse pair option due to incorrect number of inputs.--<pair option> argument requires format "
    "<first>:<second>. Found: "
)


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("host-policy", "p", _FORMAT + "p"),
        ("host-policy", ",cpu-cores=1", _FORMAT + ",cpu-cores=1"),
        ("host-policy", "p,cpu-cores=", _FORMAT + "p,cpu-cores="),
        ("host-policy", "p,=1", _FORMAT + "p,=1"),
        (
            "host-policy",
            "p,foo=7",
            "Unsupported host policy setting 'foo' is specified, supported settings are 'numa-node', 'cpu-cores'",
        ),
        ("model-load-gpu-limit", "0", _PAIR + "0"),
        ("model-load-gpu-limit", "0:0.5:1", _PAIR + "0:0.5:1"),
        ("model-load-gpu-limit", "x:0.5", "Invalid option value. Got x"),
        ("model-load-gpu-limit", "0:x", "Invalid option value. Got x"),
        ("model-load-gpu-limit", "0:1.5", "expects limit fraction to be in range [0.0, 1.0], got 1.500000"),
        ("model-load-gpu-limit", "0:-0.4", "expects limit fraction to be in range [0.0, 1.0], got -0.400000"),
        ("model-load-gpu-limit", "-1:0.5", "expects device ID >= 0, got -1"),
        ("min-supported-compute-capability", "new", "Invalid option value. Got new"),
    ],
)
def test_what_cannot_be_read_is_told_in_tritons_words(flag: str, value: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings(f"--{flag}={value}")
    assert raised.value.message == f'Bad option: "--{flag}".\n{words}'


@pytest.mark.parametrize(
    "flag",
    [
        "--pinned-memory-pool-byte-size=268435456",
        "--cuda-memory-pool-byte-size=0:67108864",
        "--cuda-virtual-address-size=0:1073741824",
        "--enable-peer-access=true",
        "--buffer-manager-thread-count=4",
    ],
)
def test_start_scripts_that_tune_tritons_memory_go_on_working(flag: str) -> None:
    assert settings(flag) == settings()
