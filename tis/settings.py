"""What the operator asked for, as plain data: read from flags once, then handed to every process of the server.

Only settings that the server acts on are here. A flag whose feature does not exist yet has no field: the command line
refuses it by name (see `tis.cli.flag_table`).
"""

from typing import Literal

import msgspec

LogFormat = Literal["default", "ISO8601"]
ModelControlMode = Literal["none"]


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, how a line looks and where it goes. All but `file` may change while the server runs."""

    verbose: int = 0
    info: bool = True
    warning: bool = True
    error: bool = True
    format: LogFormat = "default"
    #: Empty: the console.
    file: str = ""


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings of one server; the defaults are Triton's."""

    server_id: str = "triton"
    exit_timeout_s: int = 30
    exit_on_error: bool = True

    #: As given, without repeats.
    model_repositories: tuple[str, ...] = ()
    model_control_mode: ModelControlMode = "none"
    auto_complete_config: bool = True
    strict_readiness: bool = True

    allow_http: bool = True
    http_address: str = "0.0.0.0"  # noqa: S104 - Triton's default: every interface
    #: 0: any free port.
    http_port: int = 8000
    allow_grpc: bool = True
    grpc_address: str = "0.0.0.0"  # noqa: S104 - Triton's default: every interface
    #: 0: any free port.
    grpc_port: int = 8001

    log_verbose: int = 0
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_format: LogFormat = "default"
    log_file: str = ""

    backend_directory: str = "/opt/tritonserver/backends"
    #: (backend, key, value) in the order given; an empty backend means all of them.
    backend_config: tuple[tuple[str, str, str], ...] = ()

    #: 0: choose by the machine's cores, see `frontend_count`.
    frontends: int = 0
    #: 0: choose by the machine's memory.
    pool_byte_size: int = 0
    #: Empty: choose.
    runtime_directory: str = ""

    def frontend_count(self, cores: int) -> int:
        """How many frontend processes to run on a machine with so many cores."""
        return self.frontends or max(1, min(4, cores // 2))

    @property
    def log(self) -> LogSettings:
        """The part that `tis.log.configure` takes."""
        return LogSettings(
            verbose=self.log_verbose,
            info=self.log_info,
            warning=self.log_warning,
            error=self.log_error,
            format=self.log_format,
            file=self.log_file,
        )
