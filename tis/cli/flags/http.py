"""Flags of the HTTP front."""

from tis.cli.flag import Flag, FlagGroup, NotYet, Store
from tis.cli.values import BOOLEAN, BYTES, INTEGER, PORT, TEXT

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
            action=NotYet(TEXT, "this server does not pass headers on to models", accepts=("",)),
            help="A regular expression; HTTP headers whose names match become parameters of the request.",
        ),
        Flag(
            name="http-thread-count",
            action=NotYet(INTEGER, "this server takes HTTP requests in processes, see --frontends"),
            default="8",
            help="How many threads take HTTP requests.",
        ),
        Flag(
            name="http-max-input-size",
            action=NotYet(BYTES, "this server has no setting for the size of a request yet"),
            default="67108864",
            in_triton_2_51=False,
            help="The largest HTTP request in bytes.",
        ),
        Flag(
            name="http-restricted-api",
            action=NotYet(TEXT, "this server cannot restrict a part of its HTTP interface"),
            help="<api>,<api>...:<header>=<value>: which parts of the HTTP interface ask for a header with that value. "
            "Give the flag once for each group.",
        ),
    ),
)
