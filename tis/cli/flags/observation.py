"""Flags of metrics and tracing."""

from tis.cli.flag import Flag, FlagGroup, NotYet
from tis.cli.values import BOOLEAN, INTEGER, NUMBER, PORT, TEXT, one_of

_NO_METRICS = "this server has no metrics endpoint"
_NO_TRACE = "this server does not trace requests"

METRICS = FlagGroup(
    "Metrics",
    (
        Flag(
            name="allow-metrics",
            action=NotYet(BOOLEAN, _NO_METRICS, accepts=(False,)),
            default="true",
            help="Whether to serve metrics in Prometheus' format.",
        ),
        Flag(
            name="allow-gpu-metrics",
            action=NotYet(BOOLEAN, _NO_METRICS, accepts=(False,)),
            default="true",
            help="Whether the metrics tell about GPUs.",
        ),
        Flag(
            name="allow-cpu-metrics",
            action=NotYet(BOOLEAN, _NO_METRICS, accepts=(False,)),
            default="true",
            help="Whether the metrics tell about the processor and the memory.",
        ),
        Flag(
            name="metrics-address",
            action=NotYet(TEXT, _NO_METRICS),
            help="The address to listen on for metrics; that of HTTP unless given.",
        ),
        Flag(
            name="metrics-port",
            action=NotYet(PORT, _NO_METRICS),
            default="8002",
            help="The port to listen on for metrics.",
        ),
        Flag(
            name="metrics-interval-ms",
            action=NotYet(NUMBER, _NO_METRICS),
            default="2000",
            help="How many milliseconds pass between two looks at the machine.",
        ),
        Flag(
            name="metrics-config",
            action=NotYet(TEXT, _NO_METRICS),
            help="<setting>=<value>: how latencies are reported. Give the flag once for each setting.",
        ),
    ),
)

TRACING = FlagGroup(
    "Tracing",
    (
        Flag(
            name="trace-config",
            action=NotYet(TEXT, _NO_TRACE, accepts=("level=OFF",)),
            help="<setting>=<value> for all traces (level, rate, count, mode), or <mode>,<setting>=<value> for the mode "
            "triton or opentelemetry. Give the flag once for each setting.",
        ),
    ),
)

DEPRECATED_TRACING = (
    Flag(
        name="trace-file",
        action=NotYet(TEXT, _NO_TRACE, accepts=("",)),
        deprecated_for="--trace-config triton,file=<file>",
        help="The file that traces are written to.",
    ),
    Flag(
        name="trace-level",
        action=NotYet(
            one_of("off", "false", "timestamps", "true", "on", "min", "max", "tensors"),
            _NO_TRACE,
            accepts=("off", "false"),
        ),
        default="off",
        deprecated_for="--trace-config level=<level>",
        help="What is traced: off, timestamps or tensors. Give the flag again for more.",
    ),
    Flag(
        name="trace-rate",
        action=NotYet(INTEGER, _NO_TRACE),
        default="1000",
        deprecated_for="--trace-config rate=<rate>",
        help="One request out of this many is traced.",
    ),
    Flag(
        name="trace-count",
        action=NotYet(INTEGER, _NO_TRACE, accepts=(0,)),
        default="-1",
        deprecated_for="--trace-config count=<count>",
        help="How many requests are traced at most; -1 for any number.",
    ),
    Flag(
        name="trace-log-frequency",
        action=NotYet(INTEGER, _NO_TRACE),
        default="0",
        deprecated_for="--trace-config triton,log-frequency=<count>",
        help="After how many traces a new file is begun; 0 for one file, written at the end.",
    ),
)
