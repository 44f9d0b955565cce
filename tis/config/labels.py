"""Label files of a model's outputs: they must be there when the model loads, and inside the model's directory."""

from pathlib import Path

from tis.config.proto import Message
from tis.errors import internal, invalid


def check_labels(config: Message, model_path: Path | str) -> None:
    """Check that every label file that the config names can be read.

    Raises:
        TisError: INVALID_ARG for a file outside of the model's directory (a repository may come from elsewhere),
            INTERNAL, in Triton's words, for one that cannot be opened.
    """
    directory = Path(model_path)
    for output in config.output:
        if not output.label_filename:
            continue
        path = directory / output.label_filename
        if not path.resolve().is_relative_to(directory.resolve()):
            raise invalid(
                f"label file '{output.label_filename}' of output '{output.name}' lies outside of the directory of model "
                f"'{config.name}'"
            )
        try:
            with path.open("rb"):
                pass
        except OSError as error:
            raise internal(f"failed to open text file for read {path}: {error.strerror}") from None
