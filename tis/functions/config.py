"""The config of a declared function, in the JSON form of `config.pbtxt`."""

from typing import Any

from tis.contracts.datatypes import to_config
from tis.functions.declaration import Declaration


def input_configs(declared: Declaration) -> list[dict[str, Any]]:
    """The inputs."""
    return [
        {
            "name": name,
            "data_type": to_config(tensor.datatype),
            "dims": list(tensor.dims),
            **({"optional": True} if name in declared.optional else {}),
        }
        for name, tensor in declared.inputs.items()
    ]


def output_configs(declared: Declaration) -> list[dict[str, Any]]:
    """The outputs."""
    return [
        {"name": name, "data_type": to_config(tensor.datatype), "dims": list(tensor.dims)}
        for name, tensor in declared.outputs.items()
    ]


def instance_groups(declared: Declaration, model: str) -> list[dict[str, Any]]:
    """Where it runs; named as the server names the only group of a model."""
    return [{"name": model, "kind": "KIND_GPU" if declared.gpu else "KIND_CPU", "count": declared.instances}]


def dynamic_batching(declared: Declaration) -> dict[str, Any]:
    """How long requests wait for each other."""
    delay_us = declared.batching.delay_us if declared.batching is not None else 0
    return {"max_queue_delay_microseconds": delay_us} if delay_us else {}


def full_config(declared: Declaration) -> dict[str, Any]:
    """All that a function says."""
    config: dict[str, Any] = {
        "name": declared.name,
        "backend": "python",
        "max_batch_size": declared.batching.max_size if declared.batching is not None else 0,
        "input": input_configs(declared),
        "output": output_configs(declared),
        "instance_group": instance_groups(declared, declared.name),
    }
    if declared.batching is not None:
        config["dynamic_batching"] = dynamic_batching(declared)
    if declared.decoupled:
        config["model_transaction_policy"] = {"decoupled": True}
    return config
