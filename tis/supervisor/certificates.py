"""The files that gRPC's encryption needs: tried at start, so that a mistake in one is told before anything runs."""

import ssl
from pathlib import Path
from typing import Final

from tis.errors import TisError, invalid
from tis.settings import ServerSettings

_FLAGS: Final = ("grpc-server-cert", "grpc-server-key", "grpc-root-cert")


def check_certificates(settings: ServerSettings) -> None:
    """Raise where the encryption that is asked for cannot be had.

    Raises:
        TisError: INVALID_ARG with the flag and what is wrong with its file.
    """
    if not (settings.allow_grpc and settings.grpc_encrypted):
        return
    certificate, key, root = settings.grpc_server_cert, settings.grpc_server_key, settings.grpc_root_cert
    given = dict(zip(_FLAGS, (certificate, key, root), strict=True))
    if not settings.grpc_use_ssl_mutual:
        del given["grpc-root-cert"]
    for flag, path in given.items():
        if not path:
            raise invalid(f"encrypted gRPC needs --{flag}")
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise _unusable(flag, path, error.strerror or str(error)) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A key with a password would be asked for on the terminal; no password fits none.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        raise invalid(
            f"--grpc-server-cert={certificate} and --grpc-server-key={key} are not a certificate and its key in PEM: "
            f"{error}"
        ) from None
    if settings.grpc_use_ssl_mutual:
        try:
            context.load_verify_locations(root)
        except ssl.SSLError as error:
            raise _unusable("grpc-root-cert", root, str(error)) from None


def _unusable(flag: str, path: str, why: str) -> TisError:
    return invalid(f"--{flag}={path} cannot be used: {why}")
