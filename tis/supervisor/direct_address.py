"""Where direct ZeroMQ clients connect (`--zmq-address`): which addresses there are, and the listening socket behind one.

The socket is opened here and handed to every frontend, like that of any other service. ZeroMQ itself has no part in that.
"""

import importlib.util
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Final

from tis.curve_keys import KnownKeys, read_secret_key
from tis.errors import TisError, invalid, unavailable, unsupported
from tis.log import get_logger
from tis.settings import ServerSettings
from tis.supervisor.addresses import Port, ReservedPort

_BACKLOG: Final = 2048
#: Read and write for the user and the group, nothing for others.
_UMASK: Final = 0o117
#: Linux's limit for the path of a Unix socket (sun_path, without its final zero).
_LONGEST_PATH_BYTES: Final = 107

_log = get_logger(__name__)


class ReservedPath:
    """A Unix socket of mode 0660, listened on by all frontends."""

    def __init__(self, path: Path) -> None:
        """Take the path over; a socket that a dead server has left there is removed.

        Raises:
            TisError: something else is there, another server listens there, or the system refuses.
        """
        self.address: Final = str(path)
        self.port: Final = 0
        self._path = path
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            _clear(path)
            before = os.umask(_UMASK)
            try:
                self._listening.bind(str(path))
            finally:
                os.umask(before)
            self._identity = _identity(path)
            self._listening.listen(_BACKLOG)
        except OSError as error:
            self._listening.close()
            raise unavailable(f"--zmq-address=ipc://{path} cannot be used: {error.strerror or error}") from error
        except TisError:
            self._listening.close()
            raise

    def listen(self) -> socket.socket:
        """The listening socket for one frontend: whoever is first takes a connection."""
        return self._listening.dup()

    def close(self) -> None:
        """Listen no more and remove the socket, unless the path is another's by now."""
        self._listening.close()
        try:
            if _identity(self._path) == self._identity:
                self._path.unlink()
        except OSError:
            return


def reserve_direct(settings: ServerSettings) -> Port | None:
    """What `--zmq-address` stands for; None for an empty one.

    Raises:
        TisError: INVALID_ARG for an address that is not served, UNAVAILABLE for one that cannot be had.
    """
    address = settings.zmq_address
    has_keys = bool(settings.zmq_server_secret_key_file)
    if has_keys != bool(settings.zmq_client_keys):
        raise invalid("--zmq-server-secret-key-file and --zmq-client-keys are to be given together")
    if has_keys:
        _check_keys(settings)
    if not address:
        return None
    scheme, separator, rest = address.partition("://")
    if separator and scheme == "ipc":
        if has_keys:
            raise _unserved(address, "keys are for tcp:// addresses; a socket's file says who may connect to it")
        return _path(address, rest)
    if separator and scheme == "tcp":
        host, port = _host_and_port(address, rest, has_keys=has_keys)
        return ReservedPort("ZeroMQ", host, port)
    raise _unserved(address, "it begins neither with ipc:// nor with tcp://")


def _path(address: str, rest: str) -> ReservedPath:
    if not rest.startswith("/"):
        raise _unserved(address, "the path of a socket must be absolute, as in ipc:///run/tis/direct")
    if len(os.fsencode(rest)) > _LONGEST_PATH_BYTES:
        raise _unserved(address, f"the path of a socket has at most {_LONGEST_PATH_BYTES} bytes")
    return ReservedPath(Path(rest))


def _check_keys(settings: ServerSettings) -> None:
    """Raises: TisError: INVALID_ARG where keys cannot be read, UNSUPPORTED without the library that uses them."""
    if importlib.util.find_spec("nacl") is None:
        raise unsupported("--zmq-server-secret-key-file needs PyNaCl: pip install pynacl")
    read_secret_key(settings.zmq_server_secret_key_file)
    if not KnownKeys(settings.zmq_client_keys).read():
        _log.warning("there is no key in --zmq-client-keys=%s: nobody may connect yet", settings.zmq_client_keys)


def _host_and_port(address: str, rest: str, *, has_keys: bool) -> tuple[str, int]:
    host, _, port = rest.rpartition(":")
    if host == "*":
        host = "0.0.0.0"  # noqa: S104 - whoever asks for it has keys
    host = host.removeprefix("[").removesuffix("]")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise _unserved(address, "it must end with a port, as in tcp://127.0.0.1:5555")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise _unserved(address, f"'{host}' is no IP address") from None
    if not is_loopback and not has_keys:
        raise _unserved(
            address,
            "others than this machine could reach it, which needs keys: --zmq-server-secret-key-file and --zmq-client-keys",
        )
    return host, int(port)


def _clear(path: Path) -> None:
    """Make room for a socket.

    Raises:
        TisError: UNAVAILABLE where somebody uses the path.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(about.st_mode):
        raise unavailable(f"--zmq-address=ipc://{path} cannot be used: a file that is no socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise unavailable(f"--zmq-address=ipc://{path} cannot be used: another server listens there")


def _identity(path: Path) -> tuple[int, int]:
    about = path.lstat()
    return about.st_dev, about.st_ino


def _unserved(address: str, why: str) -> TisError:
    return invalid(f"--zmq-address={address} cannot be served: {why}")
