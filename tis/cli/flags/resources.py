"""Flags of backends, plug-ins, the response cache, rate limits, memory and devices."""

from tis.cli.flag import Append, Flag, FlagGroup, Moot, NotYet, Store
from tis.cli.values import (
    BACKEND_SETTING,
    BOOLEAN,
    BYTES,
    CACHE_SETTING,
    DEVICE_BYTES,
    INTEGER,
    NUMBER,
    RATE_LIMIT_RESOURCE,
    TEXT,
    one_of,
)

_NO_GPU_POOLS = "this server keeps no GPU memory of its own"

BACKEND = FlagGroup(
    "Backend",
    (
        Flag(
            name="backend-directory",
            action=Store("backend_directory", TEXT),
            default="/opt/tritonserver/backends",
            help="Where backends are looked for that do not come with the server.",
        ),
        Flag(
            name="backend-config",
            action=Append("backend_config", BACKEND_SETTING),
            help="A setting for one backend, or <setting>=<value> for all of them. Give the flag once for each setting.",
        ),
    ),
)

REPOSITORY_AGENT = FlagGroup(
    "Repository Agent",
    (
        Flag(
            name="repoagent-directory",
            action=NotYet(TEXT, "this server has no repository agents"),
            default="/opt/tritonserver/repoagents",
            help="Where repository agents are looked for.",
        ),
    ),
)

RESPONSE_CACHE = FlagGroup(
    "Response Cache",
    (
        Flag(
            name="cache-config",
            action=Append("cache_config", CACHE_SETTING),
            help="<cache>,<setting>=<value>: which response cache to use, and how: local,size=<bytes>, or redis,host=<name>, "
            "redis,port=<number> and what else Triton's Redis cache knows (needs the extra `redis`). Give the flag once for "
            "each setting.",
        ),
        Flag(
            name="cache-directory",
            action=Store("cache_directory", TEXT),
            default="/opt/tritonserver/caches",
            help="Where response caches are looked for that do not come with the server; there are none for now.",
        ),
    ),
)

RATE_LIMITER = FlagGroup(
    "Rate Limiter",
    (
        Flag(
            name="rate-limit",
            action=Store("rate_limit", one_of("off", "execution_count")),
            default="off",
            help="Whether an instance has to wait for the resources that its model names: `off` or `execution_count`.",
        ),
        Flag(
            name="rate-limit-resource",
            action=Append("rate_limit_resources", RATE_LIMIT_RESOURCE),
            help="<name>:<count>:<device>: how many of a resource there are, on one device or, without the last part, "
            "on each. Give the flag once for each resource; then there are none of the others.",
        ),
    ),
)

MEMORY = FlagGroup(
    "Memory/Device Management",
    (
        Flag(
            name="pinned-memory-pool-byte-size",
            action=Moot(BYTES, "this server pins no memory"),
            default="268435456",
            help="How much memory is pinned for copies to and from GPUs.",
        ),
        Flag(
            name="cuda-memory-pool-byte-size",
            action=NotYet(DEVICE_BYTES, _NO_GPU_POOLS, accepts=(0,)),
            default="67108864 for each GPU",
            help="<gpu>:<bytes>: how much memory of a GPU is set aside. Give the flag once for each GPU.",
        ),
        Flag(
            name="cuda-virtual-address-size",
            action=NotYet(DEVICE_BYTES, _NO_GPU_POOLS),
            default="1073741824 for each GPU",
            help="<gpu>:<bytes>: how far a model's state may grow on a GPU. Give the flag once for each GPU.",
        ),
        Flag(
            name="min-supported-compute-capability",
            action=NotYet(NUMBER, "this server uses every GPU that a model's framework can use"),
            help="The oldest kind of GPU to use.",
        ),
        Flag(
            name="buffer-manager-thread-count",
            action=Moot(INTEGER, "this server has no threads for copying"),
            default="0",
            help="How many threads copy tensors.",
        ),
        Flag(
            name="host-policy",
            action=NotYet(TEXT, "this server does not bind models to processors"),
            help="<policy>,numa-node=<node> or <policy>,cpu-cores=<cores>: where instances with that policy run.",
        ),
        Flag(
            name="model-load-gpu-limit",
            action=NotYet(TEXT, "this server loads a model whatever GPU memory is in use"),
            help="<gpu>:<fraction>: refuse to load a model while more of the GPU's memory than this is in use.",
        ),
        Flag(
            name="allow-client-shm",
            action=Store("allow_client_shm", BOOLEAN),
            default="true",
            in_triton_2_51=False,
            help="Whether clients may register shared memory.",
        ),
    ),
)

DEPRECATED_RESOURCES = (
    Flag(
        name="response-cache-byte-size",
        action=Store("response_cache_bytes", BYTES),
        deprecated_for="--cache-config local,size=<bytes>",
        help="The size of the response cache.",
    ),
)
