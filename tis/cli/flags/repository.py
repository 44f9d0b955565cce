"""Flags of the model repository: where it is, what is loaded from it, and when."""

from tis.cli.flag import Append, Flag, FlagGroup, Mark, NotYet, Store
from tis.cli.values import BOOLEAN, INTEGER, TEXT, one_of

_MODE_NONE = "this server loads every model at start and keeps to that"

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
            "not served.",
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
            action=NotYet(one_of("none", "poll", "explicit"), _MODE_NONE, accepts=("none",)),
            default="none",
            help="Who decides which models are loaded: `none` for all of them, once, at start; `poll` for following "
            "changes in the repository; `explicit` for clients, by load and unload requests.",
        ),
        Flag(
            name="repository-poll-secs",
            action=NotYet(INTEGER, _MODE_NONE, accepts=(0,)),
            default="15",
            help="How many seconds pass between two looks at the repository, with --model-control-mode=poll.",
        ),
        Flag(
            name="load-model",
            # Read and then refused by the rule on combinations, in Triton's words: explicit mode does not exist yet.
            action=Append("startup_models", TEXT, unique=True),
            help="A model to load at start, with --model-control-mode=explicit. Give the flag once for each model, or "
            "once with * for all. Refused for now, as that mode is.",
        ),
        Flag(
            name="model-config-name",
            action=NotYet(TEXT, "this server reads config.pbtxt only", accepts=("",)),
            help="Prefer configs/<name>.pbtxt to config.pbtxt in the folder of a model that has it.",
        ),
        Flag(
            name="model-load-thread-count",
            action=NotYet(INTEGER, "this server loads models in processes of their own, and has no such threads"),
            default="4",
            help="How many models are loaded at the same time.",
        ),
        Flag(
            name="model-load-retry-count",
            action=NotYet(INTEGER, "this server does not try again to load a model that failed at start", accepts=(0,)),
            default="0",
            help="How often to try again to load a model that failed.",
        ),
        Flag(
            name="model-namespacing",
            action=NotYet(BOOLEAN, "this server knows a model by its name alone", accepts=(False,)),
            default="false",
            help="Whether models of the same name may be served from different repositories.",
        ),
        Flag(
            name="enable-peer-access",
            action=NotYet(BOOLEAN, "this server does not set up access between GPUs", accepts=(False,)),
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
