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
from tis.config.fault import ConfigFault, Report, raise_it
from tis.config.json_form import from_json
from tis.config.proto import Message, ModelConfig, copy_of
from tis.config.refused import check_supported
from tis.config.source import NOTHING, WrittenConfig, read_config
from tis.config.unacted import unacted_fields
from tis.contracts.namespaces import identifier
from tis.errors import TisError, invalid
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
    #: What was read, which knows the lines of the file.
    written: WrittenConfig
    #: The repository that it is in, where repositories are namespaces.
    namespace: str = ""

    @property
    def identifier(self) -> str:
        """What the server knows the model by."""
        return identifier(self.namespace, self.name)

    def located(self, error: TisError) -> TisError:
        """An error with file and line behind its words, where it is of a field of the config."""
        return self.written.source.located(error)

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
            for one that needs what this server does not do; the first fault, with the line of the file that has it.
    """
    return examine(directory, raise_it, auto_complete=auto_complete, override=override)


def examine(
    directory: ModelDirectory, report: Report, *, auto_complete: bool = True, override: str | None = None
) -> ModelDefinition:
    """What `read_definition` does; where `report` returns, the rest is looked at as well and given as far as it goes."""
    written = _written(directory, report, auto_complete=auto_complete, override=override)

    told: set[str] = set()

    def locate(error: TisError) -> None:
        field = error.field if isinstance(error, ConfigFault) else ""
        if not (field and written.told(field)) and field not in told:
            report(written.source.located(error))

    try:
        config = with_backend(written.config, directory.name, first_version_files(directory.path))
    except TisError as error:
        locate(ConfigFault("backend", error.message, expected="a backend", code=error.code))
        told |= {"backend", "platform"}
        config = copy_of(written.config)
        config.name = config.name or directory.name
    config = normalized(config)
    check_config(config, locate)
    if not auto_complete:
        check_io(config, locate)
    if config.name != directory.name:
        locate(
            ConfigFault(
                "name",
                f"unexpected directory name '{directory.name}' for model '{config.name}', "
                "directory name must equal model name",
                expected=f"'{directory.name}', or nothing",
            )
        )
    check_supported(config, locate)
    return ModelDefinition(
        name=config.name,
        path=directory.path,
        selection=select_versions(config, directory.versions),
        config=config,
        config_provided=written.provided,
        unacted=unacted_fields(written.config),
        warnings=directory.warnings,
        written=written,
        namespace=directory.namespace,
    )


def _written(directory: ModelDirectory, report: Report, *, auto_complete: bool, override: str | None) -> WrittenConfig:
    if override is not None:
        return WrittenConfig(from_json(override), provided=True)
    if directory.other_configs:
        names = [path.relative_to(directory.path) for path in (directory.config_path, *directory.other_configs)]
        report(
            invalid(
                f"model '{directory.name}' has more than one config, {' and '.join(str(name) for name in names)}; expected "
                f"one of them in {directory.path}"
            )
        )
        return WrittenConfig(ModelConfig(), True, dropped=NOTHING)
    return read_config(directory.config_path, missing_ok=auto_complete, report=report)
