"""What the flags of the gRPC front ask for."""

import pytest

from tis.cli.parser import UsageError, parse_flags
from tis.settings import ServerSettings


def parsed(*words: str) -> ServerSettings:
    return parse_flags(["--model-repository=/models", *words])


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("--grpc-header-forward-pattern=x-.*", "grpc_header_forward_pattern", "x-.*"),
        ("--grpc-use-ssl=1", "grpc_use_ssl", True),
        ("--grpc-use-ssl-mutual=true", "grpc_use_ssl_mutual", True),
        ("--grpc-server-cert=c", "grpc_server_cert", "c"),
        ("--grpc-server-key=k", "grpc_server_key", "k"),
        ("--grpc-root-cert=r", "grpc_root_cert", "r"),
        ("--grpc-infer-response-compression-level=HIGH", "grpc_infer_response_compression_level", "high"),
        ("--grpc-keepalive-time=5", "grpc_keepalive_time_ms", 5),
        ("--grpc-keepalive-timeout=5", "grpc_keepalive_timeout_ms", 5),
        ("--grpc-keepalive-permit-without-calls=on", "grpc_keepalive_permit_without_calls", True),
        ("--grpc-http2-max-pings-without-data=0", "grpc_http2_max_pings_without_data", 0),
        (
            "--grpc-http2-min-recv-ping-interval-without-data=7",
            "grpc_http2_min_recv_ping_interval_without_data_ms",
            7,
        ),
        ("--grpc-http2-max-ping-strikes=0", "grpc_http2_max_ping_strikes", 0),
        ("--grpc-max-connection-age=9", "grpc_max_connection_age_ms", 9),
        ("--grpc-max-connection-age-grace=9", "grpc_max_connection_age_grace_ms", 9),
    ],
)
def test_a_flag_lands_in_its_setting(word: str, field: str, value: object) -> None:
    assert getattr(parsed(word), field) == value


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("--grpc-header-forward-pattern=[", "[ is no regular expression: "),
        (
            "--grpc-infer-response-compression-level=best",
            "invalid argument for --grpc-infer-response-compression-level",
        ),
        ("--grpc-keepalive-time=-1", "Provided option value is out of bound. Got -1"),
        ("--grpc-keepalive-permit-without-calls=7", "invalid value for bool option: 7"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(word: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parsed(word)
    assert text in raised.value.message


def test_the_mutual_form_asks_for_encryption_too() -> None:
    assert parsed("--grpc-use-ssl-mutual=true").grpc_encrypted
    assert not parsed().grpc_encrypted
