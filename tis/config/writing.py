"""A ModelConfig as text in any of the forms that a repository takes."""

import json
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import text_format

from tis.config.json_form import to_json, without_defaults
from tis.config.proto import Message
from tis.config.yaml_tree import MISSING
from tis.errors import unsupported

FORMATS: Final = ("pbtxt", "json", "yaml")


def written(config: Message, form: str, *, defaults: bool = True) -> str:
    """The text of a config.

    Args:
        config: any config.
        form: one of `FORMATS`.
        defaults: for JSON and YAML: all fields, as Triton's API shows them, or only those that are set. Protobuf text has
            only the latter.

    Raises:
        TisError: UNSUPPORTED for YAML without the package that writes it.
    """
    if form == "pbtxt":
        return str(text_format.MessageToString(config))
    document = to_json(config) if defaults else without_defaults(config)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n" if form == "json" else _yaml(document)


def _yaml(document: dict[str, Any]) -> str:
    try:
        import yaml
    except ImportError:
        raise unsupported(MISSING) from None
    dump: Callable[..., str] = yaml.safe_dump
    return dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
