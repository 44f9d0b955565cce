"""`ModelConfig`: what `auto_complete_config` is given and gives back. The rules and texts are Triton's."""

import json
from typing import Any, Final

_INPUT_PROPERTIES: Final = ("name", "data_type", "dims", "optional")
_OUTPUT_PROPERTIES: Final = ("name", "data_type", "dims")
_UNKNOWN_TYPE: Final = "TYPE_INVALID"


class ModelConfig:
    """A model's config, which a model may complete but not contradict."""

    def __init__(self, model_config: str) -> None:
        self._config: dict[str, Any] = json.loads(model_config)

    def as_dict(self) -> dict[str, Any]:
        """The config; for reading."""
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Set the largest batch.

        Raises:
            ValueError: the config has a larger one.
        """
        configured = self._config["max_batch_size"]
        if configured > max_batch_size:
            raise ValueError(
                f"configuration specified max_batch_size {configured}, but in auto-complete-config function for model "
                f"'{self._name}' specified max_batch_size {max_batch_size}"
            )
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Batch dynamically, where the config chooses no scheduler.

        Raises:
            ValueError: the config chooses another one.
        """
        for other in ("sequence_batching", "ensemble_scheduling"):
            if other in self._config:
                raise ValueError(
                    f"Configuration specified scheduling_choice as '{other}', but auto-complete-config function for "
                    f"model '{self._name}' tries to set scheduling_choice as 'dynamic_batching'"
                )
        self._config.setdefault("dynamic_batching", {})

    def add_input(self, input: dict[str, Any]) -> None:  # noqa: A002 - the name that models may give
        """Add an input, or complete the one of that name: `name`, `data_type`, `dims` and perhaps `optional`.

        Raises:
            ValueError: a property is missing or unknown, or the config says otherwise.
        """
        self._add("input", input, _INPUT_PROPERTIES, "'name', 'data_type', 'dims' and 'optional'")

    def add_output(self, output: dict[str, Any]) -> None:
        """Add an output, or complete the one of that name: `name`, `data_type` and `dims`.

        Raises:
            ValueError: a property is missing or unknown, or the config says otherwise.
        """
        self._add("output", output, _OUTPUT_PROPERTIES, "'name', 'data_type' and 'dims'")

    def set_model_transaction_policy(self, transaction_policy_dict: dict[str, Any]) -> None:
        """Say whether the model is decoupled: `{"decoupled": True}`.

        Raises:
            ValueError: another property is given, or the config says otherwise.
        """
        if any(name != "decoupled" for name in transaction_policy_dict):
            raise ValueError(
                f"model transaction property in auto-complete-config function for model '{self._name}' contains property "
                "other than 'decoupled'."
            )
        policy = self._config.setdefault("model_transaction_policy", {})
        if "decoupled" not in transaction_policy_dict:
            return
        decoupled = transaction_policy_dict["decoupled"]
        if policy.setdefault("decoupled", decoupled) != decoupled:
            raise ValueError(
                f"trying to change decoupled property in auto-complete-config for model '{self._name}', which is already "
                f"set to '{policy['decoupled']}'."
            )

    @property
    def _name(self) -> str:
        return str(self._config["name"])

    def _add(self, side: str, tensor: dict[str, Any], properties: tuple[str, ...], spelled: str) -> None:
        where = f"in auto-complete-config function for model '{self._name}'"
        if any(name not in properties for name in tensor):
            raise ValueError(f"{side} '{tensor['name']}' {where} contains property other than {spelled}.")
        for name in _OUTPUT_PROPERTIES:
            if name not in tensor:
                which = side if name == "name" else f"{side} '{tensor['name']}'"
                raise ValueError(f"{which} {where} is missing '{name}' property.")
        known = next((each for each in self._config[side] if each["name"] == tensor["name"]), None)
        if known is None:
            self._config[side].append(tensor)
            return
        self._check_agreement(side, known, tensor)
        known.update(tensor)

    def _check_agreement(self, side: str, known: dict[str, Any], tensor: dict[str, Any]) -> None:
        if known["data_type"] not in (_UNKNOWN_TYPE, tensor["data_type"]):
            raise ValueError(
                f"unable to load model '{self._name}', configuration expects datatype {known['data_type']} for {side} "
                f"'{tensor['name']}', model provides {tensor['data_type']}"
            )
        for name in ("dims", "optional"):
            configured = known.get(name)
            # No dims are dims that are not known yet; an input is always optional or not.
            silent = not configured if name == "dims" else configured is None or name not in tensor
            if not silent and configured != tensor[name]:
                raise ValueError(
                    f"model '{self._name}', tensor '{tensor['name']}': the model expects {name} {tensor[name]} but the "
                    f"model configuration specifies {name} {configured}"
                )
