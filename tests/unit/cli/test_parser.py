"""Flags become settings by getopt_long's rules, and mistakes are told in Triton's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.cli.flag_table import FLAGS
from tis.cli.parser import HelpRequested, UsageError, parse_flags
from tis.settings import ServerSettings

REPOSITORY = "--model-repository=/models"


def parsed(*words: str) -> ServerSettings:
    return parse_flags([REPOSITORY, *words])


def complaint(*words: str) -> str:
    with pytest.raises(UsageError) as raised:
        parsed(*words)
    return raised.value.message


def test_no_flags_but_the_repository_give_the_defaults() -> None:
    assert parsed() == ServerSettings(model_repositories=("/models",))


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--id=box"], "server_id", "box"),
        (["--exit-timeout-secs=5"], "exit_timeout_s", 5),
        (["--exit-timeout-secs=-1"], "exit_timeout_s", 0),
        (["--exit-on-error=false"], "exit_on_error", False),
        (["--disable-auto-complete-config"], "auto_complete_config", False),
        (["--strict-model-config=true"], "auto_complete_config", False),
        (["--strict-model-config=false"], "auto_complete_config", True),
        (["--strict-model-config=false", "--disable-auto-complete-config"], "auto_complete_config", False),
        (["--allow-http=0"], "allow_http", False),
        (["--http-address=::1"], "http_address", "::1"),
        (["--http-port=0"], "http_port", 0),
        (["--http-port", "9000"], "http_port", 9000),
        (["--http-port=9000", "--http-port=+9001"], "http_port", 9001),
        (["--allow-grpc=OFF"], "allow_grpc", False),
        (["--grpc-address=10.0.0.1"], "grpc_address", "10.0.0.1"),
        (["--grpc-port=65535"], "grpc_port", 65535),
        (["--log-verbose=3"], "log_verbose", 3),
        (["--log-verbose=tRue"], "log_verbose", 1),
        (["--log-verbose=false"], "log_verbose", 0),
        (["--log-info=off"], "log_info", False),
        (["--log-warning=False"], "log_warning", False),
        (["--log-error=0"], "log_error", False),
        (["--log-format=ISO8601"], "log_format", "ISO8601"),
        (["--log-file=/var/log/tis.log"], "log_file", "/var/log/tis.log"),
        (["--backend-directory=/b"], "backend_directory", "/b"),
        (["--frontends=3"], "frontends", 3),
        (["--pool-byte-size=8589934592"], "pool_byte_size", 8589934592),
        (["--runtime-directory=/run/tis"], "runtime_directory", "/run/tis"),
        (["--model-store=/more", "--model-repository=/models"], "model_repositories", ("/models", "/more")),
        (["--model-control-mode=POLL"], "model_control_mode", "poll"),
        (["--repository-poll-secs=3"], "repository_poll_s", 3),
        (["--repository-poll-secs=-1"], "repository_poll_s", 0),
        (["--model-config-name=h100"], "model_config_name", "h100"),
        (["--model-load-thread-count=8"], "model_load_thread_count", 8),
        (["--model-load-thread-count=0"], "model_load_thread_count", 1),
        (["--model-load-retry-count=2"], "model_load_retry_count", 2),
        (["--model-load-retry-count=-1"], "model_load_retry_count", 0),
    ],
)
def test_a_flag_sets_its_setting_and_no_other(words: list[str], field: str, value: object) -> None:
    settings = parsed(*words)
    differing = {name for name in settings.__struct_fields__ if getattr(settings, name) != getattr(parsed(), name)}
    assert getattr(settings, field) == value
    assert differing <= {field}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("onnxruntime,key=v", ("onnxruntime", "key", "v")),
        ("default-max-batch-size=4", ("", "default-max-batch-size", "4")),
        ("python,env=a=b,c", ("python", "env", "a=b,c")),
    ],
)
def test_a_backend_setting_has_three_parts(text: str, value: tuple[str, str, str]) -> None:
    assert parsed("--backend-config", text).backend_config == (value,)


def test_resources_and_caches_are_read() -> None:
    words = ["--rate-limit-resource=R1:3", "--rate-limit-resource=R2:4:1"]
    assert parsed(*words).rate_limit_resources == (("R1", 3, -1), ("R2", 4, 1))
    assert parsed("--cache-config=redis,password=a=b,c").cache_config == (("redis", "password", "a=b,c"),)
    assert parsed("--response-cache-byte-size=5").cache_config == (("local", "size", "5"),)
    assert parsed("--response-cache-byte-size=0").cache_config == ()


def test_backend_settings_keep_their_order_and_repeats() -> None:
    words = ["--backend-config=a,k=1", "--backend-config=a,k=2", "--backend-config=a,k=1"]
    assert parsed(*words).backend_config == (("a", "k", "1"), ("a", "k", "2"), ("a", "k", "1"))


@pytest.mark.parametrize("text", ["true", "True", "ON", "on", "1", "TRUE"])
def test_a_switch_is_on_by_any_of_these(text: str) -> None:
    assert parsed(f"--exit-on-error={text}").exit_on_error is True


@pytest.mark.parametrize("text", ["false", "False", "OFF", "off", "0"])
def test_a_switch_is_off_by_any_of_these(text: str) -> None:
    assert parsed(f"--exit-on-error={text}").exit_on_error is False


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("--http-po=9", "http_port", 9),
        ("--exit-t=9", "exit_timeout_s", 9),
        ("--front=2", "frontends", 2),
        ("--disable", "auto_complete_config", False),
    ],
)
def test_the_beginning_of_a_name_is_enough_if_no_other_flag_shares_it(word: str, field: str, value: object) -> None:
    assert getattr(parsed(word), field) == value


def test_an_abbreviation_that_triton_takes_is_not_spoilt_by_flags_it_lacks() -> None:
    assert complaint("--p=x").startswith('Bad option: "--pinned-memory-pool-byte-size".')
    assert parsed("--allow-c=false").allow_cpu_metrics is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "tritonserver: unrecognized option '--foo'"),
        (["--foo=3"], "tritonserver: unrecognized option '--foo=3'"),
        (["-x"], "tritonserver: invalid option -- 'x'"),
        (["--allow-http"], "tritonserver: option '--allow-http' requires an argument"),
        (["--http-po"], "tritonserver: option '--http-port' requires an argument"),
        (["--disable-auto=1"], "tritonserver: option '--disable-auto-complete-config' doesn't allow an argument"),
        (["--help=1"], "tritonserver: option '--help' doesn't allow an argument"),
        (
            ["--http=9"],
            "tritonserver: option '--http=9' is ambiguous; possibilities: '--http-address' '--http-port' "
            "'--http-header-forward-pattern' '--http-thread-count' '--http-restricted-api'",
        ),
        (["stray"], "Unexpected argument: stray"),
        (["a", "--http-port=9", "b"], "Unexpected argument: a"),
        (["-"], "Unexpected argument: -"),
        ([""], "Unexpected argument: "),
        (["--", "--http-port"], "Unexpected argument: --http-port"),
        (["--http-port=abc"], 'Bad option: "--http-port".\nInvalid option value. Got abc'),
        (["--http-port="], 'Bad option: "--http-port".\nInvalid option value. Got '),
        (["--http-port=12x"], 'Bad option: "--http-port".\nInvalid option value. Got 12x'),
        (["--http-port=1_0"], 'Bad option: "--http-port".\nInvalid option value. Got 1_0'),
        (["--http-port", "--foo"], 'Bad option: "--http-port".\nInvalid option value. Got --foo'),
        (
            ["--http-port=99999999999"],
            'Bad option: "--http-port".\nProvided option value is out of bound. Got 99999999999',
        ),
        (["--http-port=65536"], 'Bad option: "--http-port".\nProvided option value is out of bound. Got 65536'),
        (["--http-port=-1"], 'Bad option: "--http-port".\nProvided option value is out of bound. Got -1'),
        (["--allow-http=maybe"], 'Bad option: "--allow-http".\ninvalid value for bool option: maybe'),
        (["--allow-http="], 'Bad option: "--allow-http".\ninvalid value for bool option: '),
        (["--log-verbose=abc"], 'Bad option: "--log-verbose".\nInvalid option value. Got abc'),
        (
            ["--log-format=iso8601"],
            'Bad option: "--log-format".\ninvalid argument for --log-format: expected one of default, ISO8601, json. '
            "Got iso8601",
        ),
        (
            ["--model-control-mode=bogus"],
            'Bad option: "--model-control-mode".\ninvalid argument for --model-control-mode: expected one of none, '
            "poll, explicit. Got bogus",
        ),
        (["--model-config-name="], 'Bad option: "--model-config-name".\nError: empty argument for --model-config-name'),
        (["--repository-poll-secs=x"], 'Bad option: "--repository-poll-secs".\nInvalid option value. Got x'),
        (
            ["--model-control-mode=poll", "--load-model=*"],
            "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well.",
        ),
        (
            ["--model-control-mode=explicit", "--load-model=*", "--load-model=a"],
            "error: creating server: Invalid argument - Wildcard model name '*' must be the ONLY startup model if specified "
            "at all.",
        ),
        (
            ["--http-port=8002"],
            "The server cannot listen to HTTP requests and metrics requests at the same address and port 0.0.0.0:8002",
        ),
        (
            ["--grpc-address=::1", "--grpc-port=8123", "--metrics-address=::1", "--metrics-port=8123"],
            "The server cannot listen to GRPC requests and metrics requests at the same address and port ::1:8123",
        ),
        (
            ["--metrics-config=a,b=c"],
            'Bad option: "--metrics-config".\n--metrics-config option format is <setting>=<value>. Got a,b=c',
        ),
        (
            ["--metrics-config=summary_latencies"],
            'Bad option: "--metrics-config".\n--metrics-config option format is <setting>=<value>. Got summary_latencies',
        ),
        (
            ["--metrics-config=summary=true"],
            'Bad option: "--metrics-config".\n--metrics-config knows the settings counter_latencies, summary_latencies, '
            "histogram_latencies, summary_quantiles. Got summary",
        ),
        (
            ["--metrics-config=summary_quantiles=0.5"],
            "Bad option: \"--metrics-config\".\nInvalid option: [0.5]. No ':' delimiter found. Expected format is "
            "<quantile>:<error>",
        ),
        (
            ["--metrics-config=summary_quantiles=5:0.1"],
            'Bad option: "--metrics-config".\nInvalid option: [5:0.1]. A quantile and its error lie between 0 and 1',
        ),
        (["--metrics-port=x"], 'Bad option: "--metrics-port".\nInvalid option value. Got x'),
        (["--metrics-interval-ms=x"], 'Bad option: "--metrics-interval-ms".\nInvalid option value. Got x'),
        (
            ["--cuda-memory-pool-byte-size=5"],
            'Bad option: "--cuda-memory-pool-byte-size".\nExpected <device id>:<byte size>. Got 5',
        ),
        (
            ["--rate-limit-resource=R1"],
            'Bad option: "--rate-limit-resource".\n--rate-limit-resource option format is '
            "'<resource_name>:<count>:<device>' or '<resource_name>:<count>'. Got R1",
        ),
        (["--rate-limit-resource=R1:x"], 'Bad option: "--rate-limit-resource".\nInvalid option value. Got x'),
        (
            ["--rate-limit-resource=R1:-3"],
            'Bad option: "--rate-limit-resource".\nProvided option value is out of bound. Got -3',
        ),
        (
            ["--cache-config=local"],
            "Bad option: \"--cache-config\".\n--cache-config option format is '<cache name>,<setting>=<value>'. Got local",
        ),
        (
            ["--cache-config=,size=3"],
            'Bad option: "--cache-config".\nNo cache specified. --cache-config option format is '
            "<cache name>,<setting>=<value>. Got ,size=3",
        ),
        (
            ["--response-cache-byte-size=1", "--cache-config=local,size=1"],
            "Error: Incompatible flags --response-cache-byte-size and --cache-config both provided. Please provide one or "
            "the other.",
        ),
        (
            ["--backend-config=abc"],
            "Bad option: \"--backend-config\".\n--backend-config option format is '<backend name>,<setting>=<value>'. "
            "Got abc",
        ),
        (
            ["--backend-config=a,b="],
            "Bad option: \"--backend-config\".\n--backend-config option format is '<backend name>,<setting>=<value>'. "
            "Got a,b=",
        ),
        (
            ["--backend-config=,a=b"],
            'Bad option: "--backend-config".\nNo backend specified. --backend-config option format is <backend name>,'
            "<setting>=<value> or <setting>=<value>. Got ,a=b",
        ),
        (
            ["--load-model=x"],
            "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well.",
        ),
        (
            ["--http-address=::1", "--grpc-address=::1", "--http-port=8123", "--grpc-port=8123"],
            "The server cannot listen to HTTP requests and GRPC requests at the same address and port ::1:8123",
        ),
    ],
)
def test_a_mistake_is_told_in_tritons_words(words: list[str], message: str) -> None:
    assert complaint(*words) == message


@pytest.mark.parametrize(
    "words",
    [
        ["--http-port=8123", "--grpc-port=8123", "--allow-grpc=false"],
        ["--http-port=8123", "--grpc-port=8123", "--http-address=127.0.0.1"],
        ["--http-port=0", "--grpc-port=0"],
    ],
)
def test_ports_may_be_equal_where_they_do_not_collide(words: list[str]) -> None:
    parsed(*words)


def test_models_to_load_at_start_keep_their_order_and_count_once_each() -> None:
    words = ["--load-model=b", "--load-model=a", "--load-model=b"]
    assert parsed("--model-control-mode=explicit", *words).startup_models == ("b", "a")
    assert parsed(*words[:2], "--model-control-mode=explicit").startup_models == ("b", "a")
    assert parsed("--model-control-mode=explicit", "--load-model=*").startup_models == ("*",)


def test_a_missing_repository_is_told_as_the_server_would_without_the_usage() -> None:
    with pytest.raises(UsageError) as raised:
        parse_flags([])
    assert raised.value.message == "error: creating server: Invalid argument - --model-repository must be specified"
    assert not raised.value.with_usage


def test_a_deprecated_flag_warns() -> None:
    warnings: list[str] = []
    words = [REPOSITORY, "--strict-model-config=false", "--disable-auto-complete-config"]
    parse_flags(words, warn=warnings.append)
    assert warnings == [
        "Warning: '--strict-model-config' has been deprecated! Please use '--disable-auto-complete-config' instead.",
        "Warning: Overriding deprecated '--strict-model-config' from False to True in favor of "
        "'--disable-auto-complete-config'!",
    ]


_NAMES = st.sampled_from(sorted(FLAGS))
_WORDS = st.one_of(
    st.text(max_size=12),
    st.builds("--{}".format, _NAMES),
    st.builds("--{}={}".format, _NAMES, st.text(max_size=12)),
    st.builds("--{}={}".format, _NAMES, st.sampled_from(["0", "1", "-1", "true", "off", "a,b=c", "9" * 5000, "0:0"])),
    st.builds(lambda name, length: f"--{name[:length]}=1", _NAMES, st.integers(0, 12)),
)


@given(st.lists(_WORDS, max_size=6))
def test_any_command_line_gives_settings_or_a_message(argv: list[str]) -> None:
    try:
        settings = parse_flags(argv)
    except (UsageError, HelpRequested):
        return
    assert settings.model_repositories


# ---- files of functions ------------------------------------------------------------------------------------------------


def test_files_stand_among_the_flags_and_in_place_of_a_repository() -> None:
    settings = parse_flags(["a.py", "--id", "b.py", "c.py", "a.py"], takes_files=True)
    assert (settings.apps, settings.server_id, settings.model_repositories) == (("a.py", "c.py"), "b.py", ())
    assert parse_flags(["--", "a.py"], takes_files=True).apps == ("a.py",)


@pytest.mark.parametrize(("words", "takes_files"), [(["a.py"], False), (["models"], True), (["a.py", "models"], True)])
def test_other_arguments_are_refused_as_in_triton(words: list[str], takes_files: bool) -> None:
    with pytest.raises(UsageError, match=f"Unexpected argument: {words[-1]}"):
        parse_flags([REPOSITORY, *words], takes_files=takes_files)
