"""The first half of a load: everything that a model's directory says without opening the model file.

What fails here is a failure to read the repository ("failed to poll"); what fails in tis.config.resolve fails the load of a
version. Clients see the difference: the first is answered without details, which only the log has.
"""

from dataclasses import dataclass
from pathlib import Path

from tis.config.backend_guess import first_version_files, with_backend
from tis.config.check import check_config
from tis.config.check_io import check_io
from tis.config.defaults import normalized
from tis.config.json_form import from_json
from tis.config.proto import Message
from tis.config.refused import check_supported
from tis.config.source import read_config
from tis.config.unacted import unacted_fields
from tis.errors import invalid
from tis.repository.layout import ModelDirectory
from tis.repository.versions import VersionSelection, select_versions


@dataclass(frozen=True)
class ModelDefinition:
    """A model as its directory defines it. The config lacks what only the model file and the machine can tell."""

    name: str
    path: Path
    #: Versions the policy selects; possibly none, which fails the load: see `require_versions`.
    selection: VersionSelection
    #: Named, with backend and defaults, checked; without instance groups' defaults and without completion from the model.
    config: Message
    #: False where neither a file nor an override gave a config, so that the model itself must complete it.
    config_provided: bool
    #: Fields the user set on which the server does not act, and what was ignored in the directory; for the log, once a load.
    unacted: tuple[str, ...]
    warnings: tuple[str, ...]

    def model_file(self, version: int) -> Path:
        """The file or directory that the backend loads for a version. It need not exist."""
        return self.path / str(version) / str(self.config.default_model_filename)


def read_definition(
    directory: ModelDirectory, *, auto_complete: bool = True, override: str | None = None
) -> ModelDefinition:
    """Reads, completes as far as possible, and checks a model's config.

    Args:
        directory: the model, as `scan` or `find` gives it.
        auto_complete: False after `--disable-auto-complete-config`: then the config file must be there and whole.
        override: a config as JSON text that replaces the file entirely; its `name` may be omitted.

    Raises:
        TisError: INTERNAL or NOT_FOUND for a file that cannot be read or parsed, INVALID_ARG for a wrong config, UNSUPPORTED
            for one that needs what this server does not do.
    """
    if override is not None:
        written, provided = from_json(override), True
    else:
        written, provided = read_config(directory.config_path, missing_ok=auto_complete)
    config = normalized(with_backend(written, directory.name, first_version_files(directory.path)))
    check_config(config)
    if not auto_complete:
        check_io(config)
    if config.name != directory.name:
        raise invalid(
            f"unexpected directory name '{directory.name}' for model '{config.name}', "
            "directory name must equal model name"
        )
    check_supported(config)
    return ModelDefinition(
        name=config.name,
        path=directory.path,
        selection=select_versions(config, directory.versions),
        config=config,
        config_provided=provided,
        unacted=unacted_fields(written),
        warnings=directory.warnings,
    )
