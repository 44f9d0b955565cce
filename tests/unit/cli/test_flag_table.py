"""Every flag of Triton is known, and says of itself what it does."""

import pytest

from tis.cli.flag import Append, Flag, Help, Mark, Moot, NotYet, Store
from tis.cli.flag_table import FLAGS, GROUPS
from tis.cli.parser import HelpRequested, UsageError, parse_flags
from tis.cli.usage import usage
from tis.settings import ServerSettings

_TRITON_2_51 = """
    help id exit-timeout-secs
    log-verbose log-info log-warning log-error log-format log-file
    model-store model-repository exit-on-error disable-auto-complete-config strict-readiness model-control-mode
    repository-poll-secs load-model model-config-name model-load-thread-count model-load-retry-count model-namespacing
    enable-peer-access
    allow-http http-address http-port reuse-http-port http-header-forward-pattern http-thread-count http-restricted-api
    allow-grpc grpc-address grpc-port reuse-grpc-port grpc-header-forward-pattern grpc-infer-allocation-pool-size
    grpc-use-ssl grpc-use-ssl-mutual grpc-server-cert grpc-server-key grpc-root-cert
    grpc-infer-response-compression-level grpc-keepalive-time grpc-keepalive-timeout
    grpc-keepalive-permit-without-calls grpc-http2-max-pings-without-data
    grpc-http2-min-recv-ping-interval-without-data grpc-http2-max-ping-strikes grpc-max-connection-age
    grpc-max-connection-age-grace grpc-restricted-protocol
    allow-sagemaker sagemaker-port sagemaker-safe-port-range sagemaker-thread-count
    allow-vertex-ai vertex-ai-port vertex-ai-thread-count vertex-ai-default-model
    allow-metrics allow-gpu-metrics allow-cpu-metrics metrics-address metrics-port metrics-interval-ms metrics-config
    trace-config backend-directory backend-config repoagent-directory cache-config cache-directory
    rate-limit rate-limit-resource
    pinned-memory-pool-byte-size cuda-memory-pool-byte-size cuda-virtual-address-size min-supported-compute-capability
    buffer-manager-thread-count host-policy model-load-gpu-limit
    strict-model-config response-cache-byte-size trace-file trace-level trace-rate trace-count trace-log-frequency
"""
#: In the order of Triton 2.51's own usage.
TRITON_2_51 = _TRITON_2_51.split()
NEWER_TRITON = ["http-max-input-size", "grpc-infer-thread-count", "grpc-max-response-pool-size", "allow-client-shm"]
OWN = [
    "access-log",
    "environment-directory",
    "frontends",
    "grpc-server",
    "model-load-timeout-secs",
    "pool-byte-size",
    "runtime-directory",
    "spin-us",
    "stall-timeout-secs",
    "zmq-address",
    "zmq-client-keys",
    "zmq-server-secret-key-file",
]

#: Fields that the parser settles into others before the settings are made.
SETTLED_LATER = {
    "strict_model_config",
    "disable_auto_complete_config",
    "old_trace_config",
    "response_cache_bytes",
}

#: A good value, where it is of no common kind.
ASKED_FOR = {
    "cuda-memory-pool-byte-size": "0:67108864",
    "cuda-virtual-address-size": "0:1",
}
NOT_YET = [flag for flag in FLAGS.values() if isinstance(flag.action, NotYet)]


def a_value(flag: Flag) -> str:
    assert flag.reader is not None
    return ASKED_FOR.get(flag.name) or {"boolean": "true", "integer": "3", "float": "2.5"}.get(
        flag.reader.shape, "something"
    )


def test_every_flag_of_triton_is_known_in_its_order() -> None:
    ours = [flag.name for group in GROUPS for flag in group.flags if flag.in_triton_2_51]
    assert ours == TRITON_2_51


def test_flags_of_newer_tritons_and_our_own_are_known_apart() -> None:
    assert sorted(name for name, flag in FLAGS.items() if not flag.in_triton_2_51) == sorted(NEWER_TRITON + OWN)


def test_no_name_is_taken_twice() -> None:
    assert sum(len(group.flags) for group in GROUPS) == len(FLAGS)


@pytest.mark.parametrize("flag", FLAGS.values(), ids=lambda flag: flag.name)
def test_a_flag_that_acts_lands_in_a_setting(flag: Flag) -> None:
    match flag.action:
        case Store(field, _) | Append(field, _, _) | Mark(field):
            assert field in ServerSettings.__struct_fields__ or field in SETTLED_LATER
        case Help() | NotYet() | Moot():
            pass


MOOT = [flag for flag in FLAGS.values() if isinstance(flag.action, Moot)]


@pytest.mark.parametrize("flag", MOOT, ids=lambda flag: flag.name)
def test_a_flag_that_tunes_nothing_here_is_checked_and_its_user_is_told(flag: Flag) -> None:
    told: list[str] = []
    settings = parse_flags(["--model-repository=/models", f"--{flag.name}={a_value(flag)}"], warn=told.append)
    assert settings == parse_flags(["--model-repository=/models"])
    assert [text.startswith(f"Warning: '--{flag.name}' has no effect here: this server ") for text in told] == [True]
    with pytest.raises(UsageError):
        parse_flags(["--model-repository=/models", f"--{flag.name}=many"], warn=told.append)


@pytest.mark.parametrize("flag", NOT_YET, ids=lambda flag: flag.name)
def test_a_feature_that_does_not_exist_is_refused_by_name(flag: Flag) -> None:
    value = a_value(flag)
    with pytest.raises(UsageError) as raised:
        parse_flags(["--model-repository=/models", f"--{flag.name}={value}"])
    assert raised.value.message.startswith(
        f'Bad option: "--{flag.name}".\n--{flag.name}={value} is not supported yet: this server '
    )


def _accepts(flag: Flag) -> tuple[object, ...]:
    assert isinstance(flag.action, NotYet)
    return flag.action.accepts


_HARMLESS = """
    --reuse-http-port=false --reuse-grpc-port=off
    --allow-sagemaker=false --allow-vertex-ai=false --vertex-ai-default-model=
"""
HARMLESS = _HARMLESS.split()


@pytest.mark.parametrize("word", HARMLESS)
def test_a_value_that_asks_for_what_the_server_does_anyway_is_accepted(word: str) -> None:
    assert parse_flags(["--model-repository=/models", word]) == ServerSettings(model_repositories=("/models",))


def test_every_accepted_value_is_in_the_list_above() -> None:
    tried = {word[2:].partition("=")[0] for word in HARMLESS}
    assert tried == {flag.name for flag in NOT_YET if _accepts(flag)}


def test_the_usage_shows_every_flag_once() -> None:
    shown = [line.split()[0] for line in usage("tritonserver").splitlines() if line.startswith("  --")]
    assert shown == [f"--{name}" for name in FLAGS]


def test_the_usage_says_what_is_not_supported() -> None:
    text = " ".join(usage("tis serve").split())
    assert text.startswith("Usage: tis serve [options] --help ")
    assert text.count("Not supported yet.") + text.count("For now only ") == len(NOT_YET)


def test_the_first_mistake_is_told_before_help() -> None:
    with pytest.raises(HelpRequested):
        parse_flags(["--help", "--http-port=abc"])
    with pytest.raises(UsageError):
        parse_flags(["--http-port=abc", "--help"])
