"""Files of encryption are tried at start; what is wrong with one is told with its flag."""

import subprocess
from pathlib import Path

import pytest

from tis.errors import Code, TisError
from tis.settings import ServerSettings
from tis.supervisor.certificates import check_certificates


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pem")
    for name in ("a", "b"):
        words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        files = ["-keyout", str(made / f"{name}.key"), "-out", str(made / f"{name}.pem")]
        subprocess.run(["openssl", *words, *files], check=True, capture_output=True)
    locked = ["rsa", "-in", str(made / "a.key"), "-aes128", "-passout", "pass:secret", "-out", str(made / "locked.key")]
    subprocess.run(["openssl", *locked], check=True, capture_output=True)
    (made / "garbage").write_text("no certificate")
    return made


def fault(settings: ServerSettings) -> str:
    with pytest.raises(TisError) as caught:
        check_certificates(settings)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def test_without_encryption_no_file_is_read() -> None:
    check_certificates(ServerSettings(grpc_server_cert="/nowhere", grpc_root_cert="/nowhere"))
    check_certificates(ServerSettings(grpc_use_ssl=True, allow_grpc=False))


def test_a_certificate_with_its_key_is_enough_where_clients_may_be_strangers(folder: Path) -> None:
    check_certificates(
        ServerSettings(grpc_use_ssl=True, grpc_server_cert=str(folder / "a.pem"), grpc_server_key=str(folder / "a.key"))
    )


def test_to_know_clients_a_root_certificate_is_needed_too(folder: Path) -> None:
    own = {"grpc_server_cert": str(folder / "a.pem"), "grpc_server_key": str(folder / "a.key")}
    check_certificates(ServerSettings(grpc_use_ssl_mutual=True, grpc_root_cert=str(folder / "b.pem"), **own))  # type: ignore[arg-type]
    assert fault(ServerSettings(grpc_use_ssl_mutual=True, **own)) == "encrypted gRPC needs --grpc-root-cert"  # type: ignore[arg-type]
    bad = ServerSettings(grpc_use_ssl_mutual=True, grpc_root_cert=str(folder / "garbage"), **own)  # type: ignore[arg-type]
    assert fault(bad).startswith(f"--grpc-root-cert={folder / 'garbage'} cannot be used: ")


def test_a_file_that_is_not_there_is_named_with_its_flag(folder: Path) -> None:
    settings = ServerSettings(grpc_use_ssl=True, grpc_server_cert=str(folder / "a.pem"), grpc_server_key="/nowhere")
    assert fault(settings) == "--grpc-server-key=/nowhere cannot be used: No such file or directory"


@pytest.mark.parametrize("key", ["b.key", "garbage", "locked.key"])
def test_a_key_has_to_be_the_certificates_own_and_open(folder: Path, key: str) -> None:
    settings = ServerSettings(
        grpc_use_ssl=True, grpc_server_cert=str(folder / "a.pem"), grpc_server_key=str(folder / key)
    )
    assert "are not a certificate and its key in PEM" in fault(settings)
