"""Flags of the HTTP front."""

from tis.cli.flag import Append, Flag, FlagGroup, Moot, NotYet, Store
from tis.cli.restriction import restriction
from tis.cli.values import BOOLEAN, INT64_MAX, INTEGER, PATTERN, PORT, TEXT, between

HTTP = FlagGroup(
    "HTTP",
    (
        Flag(name="allow-http", action=Store("allow_http", BOOLEAN), default="true", help="Whether to serve HTTP."),
        Flag(
            name="http-address",
            action=Store("http_address", TEXT),
            default="0.0.0.0",  # noqa: S104 - Triton's default, shown to the reader
            help="The address to listen on for HTTP.",
        ),
        Flag(
            name="http-port",
            action=Store("http_port", PORT),
            default="8000",
            help="The port to listen on for HTTP; 0 for any that is free.",
        ),
        Flag(
            name="reuse-http-port",
            action=NotYet(BOOLEAN, "this server wants its ports for itself", accepts=(False,)),
            default="false",
            help="Whether several servers may listen on the same HTTP port.",
        ),
        Flag(
            name="http-header-forward-pattern",
            action=Store("http_header_forward_pattern", PATTERN),
            help="A regular expression; HTTP headers whose names match become parameters of the request.",
        ),
        Flag(
            name="http-thread-count",
            action=Moot(INTEGER, "this server takes HTTP requests in processes, see --frontends"),
            default="8",
            help="How many threads take HTTP requests.",
        ),
        Flag(
            name="http-max-input-size",
            action=Store("http_max_input_bytes", between(1, INT64_MAX)),
            default="67108864",
            in_triton_2_51=False,
            help="The largest JSON text, JSON tensor, raw body or decompressed body in bytes. Tensors sent as binary data "
            "are not bounded by it.",
        ),
        Flag(
            name="http-restricted-api",
            action=Append("http_restricted_apis", restriction("api")),
            help="<api>,<api>...:<header>=<value>: which parts of the HTTP interface ask for a header with that value. "
            "Give the flag once for each group.",
        ),
    ),
)
