"""Label files of a model's outputs: they must be there when the model loads, and inside the model's directory."""

from pathlib import Path

from tis.config.fault import ConfigFault, Faults, Report, raise_it, tell
from tis.config.proto import Message
from tis.errors import Code


def check_labels(config: Message, model_path: Path | str, report: Report = raise_it) -> None:
    """Check that every label file that the config names can be read.

    Raises:
        TisError: INVALID_ARG for a file outside of the model's directory (a repository may come from elsewhere),
            INTERNAL, in Triton's words, for one that cannot be opened; the first, unless `report` keeps them.
    """
    tell(_faults(config, Path(model_path)), report)


def _faults(config: Message, directory: Path) -> Faults:
    for index, output in enumerate(config.output):
        if not output.label_filename:
            continue
        field = f"output[{index}].label_filename"
        path = directory / output.label_filename
        if not path.resolve().is_relative_to(directory.resolve()):
            yield ConfigFault(
                field,
                f"label file '{output.label_filename}' of output '{output.name}' lies outside of the directory of model "
                f"'{config.name}'",
                expected="a file in the model's directory",
            )
            continue
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            yield ConfigFault(
                field,
                f"failed to open text file for read {path}: {error.strerror}",
                expected="a file that can be read",
                code=Code.INTERNAL,
            )
