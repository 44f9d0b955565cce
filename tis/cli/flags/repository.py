"""Flags of the model repository: where it is, what is loaded from it, and when."""

from tis.cli.flag import Append, Flag, FlagGroup, Mark, Moot, Store
from tis.cli.values import BOOLEAN, CONFIG_NAME, SECONDS, TEXT, at_least, one_of

MODEL_REPOSITORY = FlagGroup(
    "Model Repository",
    (
        Flag(
            name="model-store",
            action=Append("model_repositories", TEXT, unique=True),
            help="The same as --model-repository.",
        ),
        Flag(
            name="model-repository",
            action=Append("model_repositories", TEXT, unique=True),
            help="A folder with models; required. Give the flag once for each folder. A model that two folders have is "
            "not served, unless --model-namespacing says so.",
        ),
        Flag(
            name="exit-on-error",
            action=Store("exit_on_error", BOOLEAN),
            default="true",
            help="Stop at once if anything fails while the server starts, such as a model that cannot be loaded.",
        ),
        Flag(
            name="disable-auto-complete-config",
            action=Mark("disable_auto_complete_config"),
            help="Take every model's configuration as it is written and complete nothing in it.",
        ),
        Flag(
            name="strict-readiness",
            action=Store("strict_readiness", BOOLEAN),
            default="true",
            help="Whether the server calls itself ready only when all its models are.",
        ),
        Flag(
            name="model-control-mode",
            action=Store("model_control_mode", one_of("none", "poll", "explicit")),
            default="none",
            help="Who decides which models are loaded: `none` for all of them, once, at start; `poll` for following "
            "changes in the repository; `explicit` for clients, by load and unload requests.",
        ),
        Flag(
            name="repository-poll-secs",
            action=Store("repository_poll_s", SECONDS),
            default="15",
            help="How many seconds pass between two looks at the repository, with --model-control-mode=poll; 0 for never "
            "looking again.",
        ),
        Flag(
            name="load-model",
            action=Append("startup_models", TEXT, unique=True),
            help="A model to load at start, with --model-control-mode=explicit. Give the flag once for each model, or "
            "once with * for all.",
        ),
        Flag(
            name="model-config-name",
            action=Store("model_config_name", CONFIG_NAME),
            help="Prefer configs/<name>.pbtxt to config.pbtxt in the folder of a model that has it.",
        ),
        Flag(
            name="model-load-thread-count",
            action=Store("model_load_thread_count", at_least(1)),
            default="4",
            help="How many models are loaded at the same time.",
        ),
        Flag(
            name="model-load-retry-count",
            action=Store("model_load_retry_count", at_least(0)),
            default="0",
            help="How often to try again to load a model that failed.",
        ),
        Flag(
            name="model-namespacing",
            action=Store("model_namespacing", BOOLEAN),
            default="false",
            help="Whether models of the same name may be served from different repositories. Each repository is a namespace "
            "then.",
        ),
        Flag(
            name="enable-peer-access",
            action=Moot(BOOLEAN, "this server runs each instance in a process that sees its own GPU only"),
            default="true",
            help="Whether GPUs may read each other's memory.",
        ),
    ),
)

DEPRECATED_REPOSITORY = (
    Flag(
        name="strict-model-config",
        action=Store("strict_model_config", BOOLEAN),
        default="false",
        deprecated_for="--disable-auto-complete-config",
        help="If true, the same as --disable-auto-complete-config.",
    ),
)
