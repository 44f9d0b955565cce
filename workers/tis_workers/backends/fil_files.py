"""Which file a forest of trees is in, and reading it with Treelite. Pickles are never read.

A file is named by the config or else by the model's type, as in Triton's FIL backend; beyond it, a config without a type
gets that of the file that is there.
"""

import re
from pathlib import Path
from typing import Any, Final

import treelite

from tis.errors import Code, TisError, not_found, unsupported
from tis_workers.backends.base import LoadContext
from tis_workers.backends.fil_options import FILES, FilOptions

#: The first byte of a pickle of protocol 2 or newer, and the magic of a joblib or zlib stream around one.
_PICKLES: Final = (b"\x80", b"x\x9c", b"\x1f\x8b")
_PICKLE_NAMES: Final = frozenset({".pkl", ".pickle", ".joblib", ".sav"})
#: Treelite puts time and place of its own source before what was wrong.
_PLACE: Final = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+:\d+: ", re.MULTILINE)
#: A file that a name such as `model.fil` stands for, which the core gives a model that is called so.
_GENERIC: Final = "model.fil"


def load_forest(context: LoadContext, options: FilOptions) -> "treelite.Model":
    """Read the model of an instance.

    Raises:
        TisError: NOT_FOUND without a file, UNSUPPORTED for a pickle, UNKNOWN (as in Triton) with Treelite's text where it
            refuses the file.
    """
    path, model_type = _located(context, options)
    _refuse_pickle(path, context.spec.name)
    try:
        return _read(path, model_type, options)
    except treelite.TreeliteError as error:
        text = told(error)
        raise TisError(Code.UNKNOWN, f"unable to load model '{context.spec.name}' as {model_type}: {text}") from error


def told(error: Exception) -> str:
    """What Treelite says was wrong, without the place in its source."""
    return " ".join(_PLACE.sub("", str(error)).split())


def _read(path: Path, model_type: str, options: FilOptions) -> Any:
    if model_type == "lightgbm":
        return treelite.frontend.load_lightgbm_model(path)
    if model_type == "treelite_checkpoint":
        return treelite.Model.deserialize(path)
    if model_type == "xgboost":
        return treelite.frontend.load_xgboost_model_legacy_binary(path)
    choice = "json" if model_type == "xgboost_json" else "ubjson"
    return treelite.frontend.load_xgboost_model(
        path, format_choice=choice, allow_unknown_field=options.allow_unknown_field
    )


def _located(context: LoadContext, options: FilOptions) -> tuple[Path, str]:
    """The file, and the type that it is of."""
    filename, folder = context.spec.filename, context.version_dir
    if filename == _GENERIC and not (folder / filename).exists():
        filename = ""
    if not filename and options.model_type:
        filename = FILES[options.model_type]
    if filename:
        path = folder / filename
        if not path.is_file():
            raise not_found(f"unable to find '{path}' for model '{context.spec.name}'")
        return path, options.model_type or _type_of(path)
    for model_type, name in FILES.items():
        if (folder / name).is_file():
            return folder / name, model_type
    pickled = sorted(path for path in folder.glob("*") if path.suffix in _PICKLE_NAMES)
    if pickled:
        _refuse_pickle(pickled[0], context.spec.name)
    raise not_found(
        f"unable to find any of {', '.join(FILES.values())} in '{folder}' for model '{context.spec.name}'; with another "
        "name, say so with 'default_model_filename' and the parameter 'model_type'"
    )


def _type_of(path: Path) -> str:
    """The type of a file of another name than the usual ones, by its ending; Triton's default where it tells nothing."""
    by_ending = {Path(name).suffix: model_type for model_type, name in FILES.items()}
    return by_ending.get(path.suffix, "xgboost")


def _refuse_pickle(path: Path, name: str) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix in _PICKLE_NAMES or start.startswith(_PICKLES):
        raise unsupported(
            f"'{path}' of model '{name}' is a pickle, which this server does not read: loading one runs whatever code is in "
            "it. Convert the model where it was trained: "
            "treelite.sklearn.import_model(model).serialize('checkpoint.tl'), and set the parameter 'model_type' to "
            "'treelite_checkpoint'"
        )
