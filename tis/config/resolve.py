"""The second half of a load: from a model's partial config and its signature to a completed, checked config.

Only the order of the steps lives here, which is Triton's (TritonModel::Create, UpdateModelConfig, Model::Init in its core).
What fails here fails a version of the model; what fails in tis.repository.definition fails the reading of the repository.
"""

from dataclasses import dataclass

from tis.config.agreement import check_agreement
from tis.config.check import check_config, check_instance_groups
from tis.config.check_extensions import check_extensions
from tis.config.check_io import check_io
from tis.config.completion import DEFAULT_MAX_BATCH_SIZE, completed, merged
from tis.config.defaults import with_instance_groups
from tis.config.fault import Report, raise_it
from tis.config.proto import Message
from tis.config.refused import check_supported
from tis.config.spreading import GpuRoom, spread, wants_spreading
from tis.contracts.model_spec import ModelSignature
from tis.errors import TisError, not_found


@dataclass(frozen=True)
class Surroundings:
    """What of the server and the machine a config's completion depends on."""

    #: GPUs that the server may use.
    gpu_count: int = 0
    #: Those of them that are older than the operator wants.
    unsupported_gpus: frozenset[int] = frozenset()
    #: What that minimum is; for errors.
    min_compute_capability: float = 0.0
    #: How much room each GPU has; empty: as much as any other.
    gpu_rooms: tuple[GpuRoom, ...] = ()
    #: False for a backend that runs on CPUs only.
    backend_uses_gpu: bool = True
    #: False after `--disable-auto-complete-config`.
    auto_complete: bool = True
    default_max_batch_size: int = DEFAULT_MAX_BATCH_SIZE


def with_placement(config: Message, surroundings: Surroundings, report: Report = raise_it) -> Message:
    """A copy with instance groups completed and checked: enough to start something that reads the model.

    Raises:
        TisError: INVALID_ARG for groups that this machine cannot hold.
    """
    gpus, uses, old = surroundings.gpu_count, surroundings.backend_uses_gpu, surroundings.unsupported_gpus
    config = with_instance_groups(config, gpu_count=gpus, backend_uses_gpu=uses, unsupported=old)
    check_instance_groups(
        config,
        gpu_count=gpus,
        backend_uses_gpu=uses,
        unsupported=old,
        minimum=surroundings.min_compute_capability,
        report=report,
    )
    if wants_spreading(config):
        spread(config, surroundings.gpu_rooms)
    return config


def resolved(
    config: Message,
    surroundings: Surroundings,
    *,
    signature: ModelSignature | None = None,
    proposed: Message | None = None,
    config_provided: bool = True,
    report: Report = raise_it,
) -> Message:
    """The completed and checked config of a model version.

    Args:
        config: the partial config, as `read_definition` gives it, with or without placement.
        surroundings: the server and machine.
        signature: what the model file declares, from backends that can tell: completes the config and is compared with it.
        proposed: a whole config that a model handed back (`auto_complete_config` of a Python model), in place of a signature.
        config_provided: False where neither a file nor an override gave the config: then the model must complete it.
        report: what is done with faults; where it returns, the rest is checked as well.

    Raises:
        TisError: NOT_FOUND when nothing says what the model is; UNSUPPORTED when completion chose what the server cannot do;
            INVALID_ARG or INTERNAL from completion and checks.
    """
    config = with_placement(config, surroundings, report)
    said = surroundings.auto_complete and (signature is not None or proposed is not None)
    try:
        if said and signature is not None:
            config = completed(config, signature, default_max_batch_size=surroundings.default_max_batch_size)
        if said and proposed is not None:
            config = merged(config, proposed)
    except TisError as error:
        report(error)
        return config
    if not config_provided and not said:
        report(not_found(f"model configuration is not provided for model '{config.name}'"))
    check_config(config, report)
    check_supported(config, report)
    check_io(config, report)
    check_extensions(config, report)
    if signature is not None:
        check_agreement(config, signature, report)
    return config
