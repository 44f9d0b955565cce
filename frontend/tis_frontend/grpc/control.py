"""Calls that look at the server and change it while it runs: repository, log settings, trace settings."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tis.errors import invalid, unsupported
from tis.settings import LOG_FORMATS, LogSettings
from tis_frontend import repository_calls, trace_settings
from tis_frontend.grpc.messages import pb
from tis_frontend.grpc.wire import parse, serialized
from tis_frontend.server import Server
from tis_frontend.trace_settings import TraceChanges

_MOST_VERBOSE: Final = (1 << 31) - 1


class ControlService:
    """Unary calls by method name."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.unary: dict[str, Callable[[bytes], Awaitable[bytes]]] = {
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
            "LogSettings": self._log_settings,
            "TraceSetting": self._trace_setting,
        }

    # ---- the repository --------------------------------------------------------------------------------------------

    async def _index(self, data: bytes) -> bytes:
        request = parse(pb.RepositoryIndexRequest, data)
        _refuse_repository(request)
        response = pb.RepositoryIndexResponse()
        for entry in await repository_calls.index(self._server, ready=request.ready):
            version = str(entry.version) if entry.version else ""
            response.models.add(name=entry.name, version=version, state=entry.state, reason=entry.reason)
        return serialized(response)

    async def _load(self, data: bytes) -> bytes:
        request = parse(pb.RepositoryModelLoadRequest, data)
        _refuse_repository(request)
        config: str | None = None
        files: dict[str, bytes | str] = {}
        for name, value in request.parameters.items():
            if name != "config" and not name.startswith(repository_calls.FILE):
                raise invalid(f"unrecognized load parameter '{name}'.")
            kind = "string_param" if name == "config" else "bytes_param"
            if value.WhichOneof("parameter_choice") != kind:
                raise invalid(f"invalid value type for load parameter '{name}', expected {kind}.")
            if name == "config":
                config = value.string_param
            else:
                files[name.removeprefix(repository_calls.FILE)] = value.bytes_param
        await repository_calls.load(self._server, request.model_name, config, files)
        return serialized(pb.RepositoryModelLoadResponse())

    async def _unload(self, data: bytes) -> bytes:
        request = parse(pb.RepositoryModelUnloadRequest, data)
        _refuse_repository(request)
        dependents = False
        if "unload_dependents" in request.parameters:
            value = request.parameters["unload_dependents"]
            if value.WhichOneof("parameter_choice") != "bool_param":
                raise invalid("invalid value type for 'unload_dependents' parameter, expected bool_param.")
            dependents = value.bool_param
        await repository_calls.unload(self._server, request.model_name, dependents=dependents)
        return serialized(pb.RepositoryModelUnloadResponse())

    # ---- log settings ----------------------------------------------------------------------------------------------

    async def _log_settings(self, data: bytes) -> bytes:
        changes = _log_changes(parse(pb.LogSettingsRequest, data).settings)
        settings: LogSettings = await self._server.change_log(changes)
        response = pb.LogSettingsResponse()
        response.settings["log_file"].string_param = settings.file
        response.settings["log_info"].bool_param = settings.info
        response.settings["log_warning"].bool_param = settings.warning
        response.settings["log_error"].bool_param = settings.error
        response.settings["log_verbose_level"].uint32_param = settings.verbose
        response.settings["log_format"].string_param = settings.format
        return serialized(response)

    # ---- trace settings --------------------------------------------------------------------------------------------

    async def _trace_setting(self, data: bytes) -> bytes:
        request = parse(pb.TraceSettingRequest, data)
        self._server.check_traceable(request.model_name)
        settings = await self._server.change_trace(request.model_name, _trace_changes(request.settings))
        response = pb.TraceSettingResponse()
        for name, values in settings.items():
            response.settings[name].value.extend(values)
        return serialized(response)


def _refuse_repository(request: Any) -> None:
    if request.repository_name:
        raise unsupported("'repository_name' specification is not supported")


def _log_changes(settings: Any) -> dict[str, bool | int | str]:
    if "log_file" in settings:
        raise unsupported("log file location can not be updated through network protocol")
    changes: dict[str, bool | int | str] = {}
    for name in ("info", "warning", "error"):
        if (key := f"log_{name}") in settings:
            changes[name] = _log_value(settings, key, "bool_param", "boolean")
    if "log_verbose_level" in settings:
        changes["verbose"] = min(_log_value(settings, "log_verbose_level", "uint32_param", "int32"), _MOST_VERBOSE)
    if "log_format" in settings:
        changes["format"] = form = _log_value(settings, "log_format", "string_param", "string")
        if form not in LOG_FORMATS:
            raise invalid(f"invalid argument for log_format, got: {form}")
    return changes


def _log_value(settings: Any, name: str, kind: str, spoken: str) -> Any:
    value = settings[name]
    if value.WhichOneof("parameter_choice") != kind:
        raise invalid(f"expect {spoken} for '{name}'")
    return getattr(value, kind)


def _trace_changes(settings: Any) -> TraceChanges:
    if "trace_file" in settings:
        trace_settings.refuse_file()
    changes: TraceChanges = {}
    if "trace_level" in settings:
        levels = list(settings["trace_level"].value)
        changes["trace_level"] = trace_settings.read_level(levels) if levels else None
    for name in trace_settings.NUMBERS:
        if name in settings:
            values = list(settings[name].value)
            if len(values) > 1:
                raise invalid(f"expect only 1 value for '{name}'")
            changes[name] = trace_settings.read_number(name, values[0]) if values else None
    return changes
