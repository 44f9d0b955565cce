"""The one table of every flag: Triton's, those of newer Tritons, and our own. Its order is that of the usage.

Each flag either acts or is refused by name; none is ignored. See `tis.cli.flag` for what an entry can say.
"""

from tis.cli.flag import Flag, FlagGroup
from tis.cli.flags.cloud import SAGEMAKER, VERTEX
from tis.cli.flags.grpc import GRPC
from tis.cli.flags.http import HTTP
from tis.cli.flags.observation import DEPRECATED_TRACING, METRICS, TRACING
from tis.cli.flags.repository import DEPRECATED_REPOSITORY, MODEL_REPOSITORY
from tis.cli.flags.resources import (
    BACKEND,
    DEPRECATED_RESOURCES,
    MEMORY,
    RATE_LIMITER,
    REPOSITORY_AGENT,
    RESPONSE_CACHE,
)
from tis.cli.flags.server import GENERAL, LOGGING, OWN, SERVER

GROUPS: tuple[FlagGroup, ...] = (
    GENERAL,
    SERVER,
    LOGGING,
    MODEL_REPOSITORY,
    HTTP,
    GRPC,
    SAGEMAKER,
    VERTEX,
    METRICS,
    TRACING,
    BACKEND,
    REPOSITORY_AGENT,
    RESPONSE_CACHE,
    RATE_LIMITER,
    MEMORY,
    OWN,
    FlagGroup("DEPRECATED", DEPRECATED_REPOSITORY + DEPRECATED_RESOURCES + DEPRECATED_TRACING),
)

FLAGS: dict[str, Flag] = {flag.name: flag for group in GROUPS for flag in group.flags}
