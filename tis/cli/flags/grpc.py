"""Flags of the gRPC front."""

from tis.cli.flag import Append, Flag, FlagGroup, Moot, NotYet, Store
from tis.cli.restriction import restriction
from tis.cli.values import BOOLEAN, COUNT, INT64_MAX, INTEGER, PATTERN, PORT, TEXT, between, one_of

_SOCKET = (
    Flag(name="allow-grpc", action=Store("allow_grpc", BOOLEAN), default="true", help="Whether to serve gRPC."),
    Flag(
        name="grpc-address",
        action=Store("grpc_address", TEXT),
        default="0.0.0.0",  # noqa: S104 - Triton's default, shown to the reader
        help="The address to listen on for gRPC.",
    ),
    Flag(
        name="grpc-port",
        action=Store("grpc_port", PORT),
        default="8001",
        help="The port to listen on for gRPC; 0 for any that is free.",
    ),
    Flag(
        name="grpc-server",
        action=Store("grpc_server", one_of("native", "grpcio")),
        default="native",
        in_triton_2_51=False,
        help="What serves gRPC: this server's own transport, or the grpcio package.",
    ),
    Flag(
        name="reuse-grpc-port",
        action=NotYet(BOOLEAN, "this server wants its ports for itself", accepts=(False,)),
        default="false",
        help="Whether several servers may listen on the same gRPC port.",
    ),
    Flag(
        name="grpc-header-forward-pattern",
        action=Store("grpc_header_forward_pattern", PATTERN),
        help="A regular expression; gRPC metadata whose keys match become parameters of the request.",
    ),
)

_POOLS = (
    Flag(
        name="grpc-infer-thread-count",
        action=Moot(between(2, 128), "this server takes gRPC requests in processes, see --frontends"),
        default="2",
        in_triton_2_51=False,
        help="How many threads take gRPC inference requests.",
    ),
    Flag(
        name="grpc-infer-allocation-pool-size",
        action=Moot(INTEGER, "this server keeps no pool of gRPC request objects"),
        default="8",
        help="How many request and response objects are kept for reuse.",
    ),
    Flag(
        name="grpc-max-response-pool-size",
        action=Moot(between(1, INT64_MAX), "this server keeps no pool of gRPC response objects"),
        default="2147483647",
        in_triton_2_51=False,
        help="How many response objects a stream keeps at most.",
    ),
)

_SSL = (
    Flag(
        name="grpc-use-ssl",
        action=Store("grpc_use_ssl", BOOLEAN),
        default="false",
        help="Whether gRPC connections are encrypted.",
    ),
    Flag(
        name="grpc-use-ssl-mutual",
        action=Store("grpc_use_ssl_mutual", BOOLEAN),
        default="false",
        help="Whether gRPC connections are encrypted and clients have to show a certificate.",
    ),
    Flag(
        name="grpc-server-cert",
        action=Store("grpc_server_cert", TEXT),
        help="A PEM file with the server's certificate.",
    ),
    Flag(name="grpc-server-key", action=Store("grpc_server_key", TEXT), help="A PEM file with the server's key."),
    Flag(
        name="grpc-root-cert",
        action=Store("grpc_root_cert", TEXT),
        help="A PEM file with the certificate that clients' certificates are checked by.",
    ),
    Flag(
        name="grpc-infer-response-compression-level",
        action=Store("grpc_infer_response_compression_level", one_of("none", "low", "medium", "high")),
        default="none",
        help="How hard to compress the answers to inference requests: none, low, medium or high.",
    ),
)

_CONNECTION = (
    Flag(
        name="grpc-keepalive-time",
        action=Store("grpc_keepalive_time_ms", COUNT),
        default="7200000",
        help="After how many quiet milliseconds the server pings a client.",
    ),
    Flag(
        name="grpc-keepalive-timeout",
        action=Store("grpc_keepalive_timeout_ms", COUNT),
        default="20000",
        help="How many milliseconds the server waits for the answer to a ping before it closes the connection.",
    ),
    Flag(
        name="grpc-keepalive-permit-without-calls",
        action=Store("grpc_keepalive_permit_without_calls", BOOLEAN),
        default="false",
        help="Whether to ping while no call is running.",
    ),
    Flag(
        name="grpc-http2-max-pings-without-data",
        action=Store("grpc_http2_max_pings_without_data", COUNT),
        default="2",
        help="How many pings may be sent while there is no data to send; 0 for any number.",
    ),
    Flag(
        name="grpc-http2-min-recv-ping-interval-without-data",
        action=Store("grpc_http2_min_recv_ping_interval_without_data_ms", COUNT),
        default="300000",
        help="How many milliseconds a client has to leave between pings while it sends no data.",
    ),
    Flag(
        name="grpc-http2-max-ping-strikes",
        action=Store("grpc_http2_max_ping_strikes", COUNT),
        default="2",
        help="How many pings may come too early before the server closes the connection; 0 for any number.",
    ),
    Flag(
        name="grpc-max-connection-age",
        action=Store("grpc_max_connection_age_ms", COUNT),
        help="How many milliseconds a connection may last.",
    ),
    Flag(
        name="grpc-max-connection-age-grace",
        action=Store("grpc_max_connection_age_grace_ms", COUNT),
        help="How many milliseconds calls may take to end on a connection that has lasted too long.",
    ),
    Flag(
        name="grpc-restricted-protocol",
        action=Append("grpc_restricted_protocols", restriction("protocol")),
        help="<protocol>,<protocol>...:<key>=<value>: which parts of the gRPC interface ask for metadata with that "
        "value. Give the flag once for each group.",
    ),
)

GRPC = FlagGroup("GRPC", _SOCKET + _POOLS + _SSL + _CONNECTION)
