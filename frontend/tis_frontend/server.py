"""What a frontend knows of the server as a whole: its name, its state, its models. Both faces answer from it."""

from dataclasses import dataclass, field
from typing import Any, Final

from tis import TRITON_VERSION
from tis.contracts import messages as m
from tis.contracts.namespaces import identifier
from tis.errors import TisError, invalid, unavailable
from tis.settings import LogSettings, ServerSettings
from tis_frontend.control_calls import ControlCalls
from tis_frontend.core import Core
from tis_frontend.model_table import ModelTable, ServedModel
from tis_frontend.trace_settings import TraceChanges, TraceSettings

#: Protocol extensions that this server speaks, by Triton's names.
EXTENSIONS: Final = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)


@dataclass(slots=True)
class Server:
    """Settings, state and models, as the supervisor last told them."""

    settings: ServerSettings
    core: Core
    table: ModelTable
    calls: ControlCalls
    ready: bool = False
    stopping: bool = False
    log: LogSettings = field(default_factory=LogSettings)
    trace: TraceSettings = field(default_factory=TraceSettings)

    def metadata(self) -> dict[str, Any]:
        """Name, version and extensions."""
        return {"name": self.settings.server_id, "version": TRITON_VERSION, "extensions": list(EXTENSIONS)}

    def check_running(self) -> None:
        """Raise UNAVAILABLE once the server is on its way out."""
        if self.stopping:
            raise unavailable("Server exiting")

    def model_metadata(self, name: str, version: int | None) -> dict[str, Any]:
        """A model's name, ready versions, platform, inputs and outputs; with batching, shapes begin with -1.

        Raises:
            TisError: the model is unknown or not ready.
        """
        spec = self.table.find(name, version).spec
        versions = self.table.ready_versions(spec.identifier) if version is None else [version]
        batch = [-1] if spec.max_batch_size else []
        return {
            "name": spec.name,
            "versions": [str(each) for each in versions],
            "platform": spec.platform or spec.backend,
            "inputs": [
                {"name": each.name, "datatype": each.datatype, "shape": batch + list(each.shape)}
                for each in spec.inputs
            ],
            "outputs": [
                {"name": each.name, "datatype": each.datatype, "shape": batch + list(each.shape)}
                for each in spec.outputs
            ],
        }

    def model(self, name: str, version: int | None) -> ServedModel:
        """A model version that takes requests.

        Raises:
            TisError: it is unknown or not ready.
        """
        return self.table.find(name, version)

    async def statistics(self, name: str, version: int | None) -> list[m.ModelStatistics]:
        """Statistics of a model's ready versions, or of all models for an empty name.

        Raises:
            TisError: INVALID_ARG where the model or version is not there (Triton does not say NOT_FOUND here).
        """
        if name:
            try:
                name = self.table.find(name, version).spec.identifier
            except TisError:
                if version is not None and self.table.is_ready(name, None):
                    raise invalid(f"requested model version is not available for model '{name}'") from None
                raise invalid(f"requested model '{name}' is not available") from None
        found = await self.core.statistics(name, version or 0)
        return [each for each in found if self.table.is_ready(identifier(each.namespace, each.name), each.version)]

    # ---- what clients may change -----------------------------------------------------------------------------------

    async def change_log(self, changes: dict[str, bool | int | str]) -> LogSettings:
        """Change log settings of the whole server, by the names of `LogSettings`; gives all of them.

        Raises:
            TisError: one of them cannot be changed so.
        """
        if changes:
            await self.calls.ask(lambda call_id, peer: m.ChangeLog(call_id, peer, changes))
        return self.log

    def trace_settings(self, model: str) -> dict[str, tuple[str, ...]]:
        """All trace settings that hold for a model, or the global ones for an empty name.

        Raises:
            TisError: INVALID_ARG where there are none of this model.
        """
        self.check_traceable(model)
        return self.trace.of(self.table.identifier(model) if model else "")

    def check_traceable(self, model: str) -> None:
        """Raise INVALID_ARG where there are no trace settings of this model; an empty name means the global ones."""
        if model and not self.table.is_ready(model, None):
            raise invalid(f"Request for unknown model : {model}")

    async def change_trace(self, model: str, changes: TraceChanges) -> dict[str, tuple[str, ...]]:
        """Change trace settings of a model, or global ones for an empty name; gives all that hold for it.

        Raises:
            TisError: they would contradict each other.
        """
        model = self.table.identifier(model) if model else ""
        if changes:
            await self.calls.ask(lambda call_id, peer: m.ChangeTrace(call_id, peer, model, changes))
        return self.trace.of(model)
