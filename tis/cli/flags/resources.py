"""Flags of backends, plug-ins, the response cache, rate limits, memory and devices."""

from tis.cli.flag import Append, Flag, FlagGroup, Moot, NotYet, Store
from tis.cli.values import (
    BACKEND_SETTING,
    BOOLEAN,
    BYTES,
    CACHE_SETTING,
    DEVICE_BYTES,
    GPU_LIMIT,
    HOST_POLICY,
    INTEGER,
    NUMBER,
    RATE_LIMIT_RESOURCE,
    TEXT,
    one_of,
)

_NO_GPU_POOLS = "this server sets no GPU memory aside; frameworks do that themselves"

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
        Flag(
            name="environment-directory",
            action=Store("environment_directory", TEXT),
            default="the user's cache",
            in_triton_2_51=False,
            help="Where Python environments of models are kept that the server has unpacked or built.",
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
            action=Moot(DEVICE_BYTES, _NO_GPU_POOLS),
            default="67108864 for each GPU",
            help="<gpu>:<bytes>: how much memory of a GPU is set aside. Give the flag once for each GPU.",
        ),
        Flag(
            name="cuda-virtual-address-size",
            action=Moot(
                DEVICE_BYTES, "this server keeps states of sequences in the machine's memory, where they may grow"
            ),
            default="1073741824 for each GPU",
            help="<gpu>:<bytes>: how far a model's state may grow on a GPU. Give the flag once for each GPU.",
        ),
        Flag(
            name="min-supported-compute-capability",
            action=Store("min_supported_compute_capability", NUMBER),
            default="0",
            help="The lowest CUDA compute capability that a GPU must have to be used, such as 7.5. Needs the extra `gpu`.",
        ),
        Flag(
            name="buffer-manager-thread-count",
            action=Moot(INTEGER, "this server has no threads for copying"),
            default="0",
            help="How many threads copy tensors.",
        ),
        Flag(
            name="host-policy",
            action=Append("host_policies", HOST_POLICY),
            help="<policy>,numa-node=<node> or <policy>,cpu-cores=<cores>: where instances run whose group names that "
            "`host_policy`, or none and has the kind of this name: `cpu`, `model`, `gpu_0`, `gpu_1`, … Cores are numbers and "
            "ranges, such as 0-3,8. Give the flag once for each setting.",
        ),
        Flag(
            name="model-load-gpu-limit",
            action=Append("model_load_gpu_limits", GPU_LIMIT),
            help="<gpu>:<fraction>: refuse to load a model while more of the GPU's memory than this is in use. Needs "
            "the extra `gpu`. Give the flag once for each GPU.",
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
