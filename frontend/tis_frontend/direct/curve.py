"""The server's end of CURVE, ZeroMQ's mechanism of keys and encryption, for one connection. Touches no socket.

https://rfc.zeromq.org/spec/26 is the specification. Both sides have long-term keys, and make short-term ones for each
connection: what was recorded cannot be read later with the long-term keys. A client whose key is not known is told so, and
learns nothing else. The boxes are those of libsodium, by way of PyNaCl, which only a server with keys imports.
"""

import hmac
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from tis_frontend.direct.zmtp_error import ZmtpError

#: What a frame has more of as a MESSAGE command: its name, a nonce, a box's tag, and its flags.
OVERHEAD_BYTES: Final = 8 + 8 + 16 + 1

_HELLO: Final = b"\x05HELLO"
_HELLO_BYTES: Final = 200
_WELCOME: Final = b"\x07WELCOME"
_INITIATE: Final = b"\x08INITIATE"
_READY: Final = b"\x05READY"
_MESSAGE: Final = b"\x07MESSAGE"
#: ZAP's word for a client that may not come in, as libzmq's servers say it.
DENIED: Final = b"\x05ERROR\x03400"
_COOKIE_BYTES: Final = 96
_KEY_BYTES: Final = 32
_LONG_NONCE_BYTES: Final = 16
_BOXED_KEY_BYTES: Final = _KEY_BYTES + 16


class ServerKeys(NamedTuple):
    """What a server brings to each connection."""

    #: 32 bytes.
    secret: bytes
    #: Whether a client with this public key may come in.
    knows: Callable[[bytes], bool]


class DeniedError(ZmtpError):
    """The client's key is not among those that may come in."""


class Curve:
    """One connection's keys and nonces: `hello`, then `initiate`, then `opened` and `sealed` any number of times."""

    def __init__(self, keys: ServerKeys) -> None:
        self._keys: Final = keys
        self._cookie = b""
        self._client = b""
        self._secret = b""
        #: For what goes both ways, once the short-term keys are exchanged.
        self._shared = b""
        #: The last nonce of the peer: each must be above the one before, so that nothing is taken twice.
        self._heard_nonce = -1
        self._said_nonce = 0

    def hello(self, body: bytes) -> bytes:
        """The client's HELLO; gives the WELCOME.

        Raises:
            ZmtpError: it is none, or not for this server's key.
        """
        if len(body) != _HELLO_BYTES or not body.startswith(_HELLO + b"\x01\x00") or self._cookie:
            raise ZmtpError("a handshake without HELLO")
        client, nonce, box = body[80:112], body[112:120], body[120:]
        _open(box, b"CurveZMQHELLO---" + nonce, _before(client, self._keys.secret))
        self._client = client
        public, self._secret = sodium.crypto_box_keypair()
        # The specification's server is to remember nothing until the cookie comes back. This one has the connection.
        self._cookie = os.urandom(_COOKIE_BYTES)
        long_nonce = os.urandom(_LONG_NONCE_BYTES)
        shared = _before(client, self._keys.secret)
        return (
            _WELCOME + long_nonce + sodium.crypto_box_afternm(public + self._cookie, b"WELCOME-" + long_nonce, shared)
        )

    def initiate(self, body: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
        """The client's INITIATE; gives its metadata, and what makes a READY of the server's.

        Raises:
            DeniedError: the client's key is not known.
            ZmtpError: it is no INITIATE, or not of who said hello.
        """
        cookie, nonce, box = body[9:105], body[105:113], body[113:]
        is_ours = self._cookie and hmac.compare_digest(cookie, self._cookie)
        if not body.startswith(_INITIATE) or not is_ours or self._shared:
            raise ZmtpError("a handshake without INITIATE")
        shared = _before(self._client, self._secret)
        plain = _open(box, b"CurveZMQINITIATE" + nonce, shared)
        vouch_at = _KEY_BYTES + _LONG_NONCE_BYTES
        metadata_at = vouch_at + _BOXED_KEY_BYTES + _KEY_BYTES
        if len(plain) < metadata_at:
            raise ZmtpError("an INITIATE that is too short")
        long_term = plain[:_KEY_BYTES]
        # The vouch says that whoever has the long-term key wants this connection, to this server.
        vouch = _open(
            plain[vouch_at:metadata_at],
            b"VOUCH---" + plain[_KEY_BYTES:vouch_at],
            _before(long_term, self._secret),
        )
        if vouch != self._client + sodium.crypto_scalarmult_base(self._keys.secret):
            raise ZmtpError("a vouch for somebody else")
        if not self._keys.knows(long_term):
            raise DeniedError("its key is not among those of --zmq-client-keys")
        self._shared = shared
        self._heard_nonce = int.from_bytes(nonce, "big")
        return plain[metadata_at:], self._ready

    def opened(self, frame: bytes | bytearray) -> tuple[int, bytes]:
        """The flags and the bytes of a frame that came as a MESSAGE.

        Raises:
            ZmtpError: it is none, was changed on its way, or was here before.
        """
        if not frame.startswith(_MESSAGE) or len(frame) < OVERHEAD_BYTES:
            raise ZmtpError("a frame that is no MESSAGE")
        nonce = bytes(frame[8:16])
        number = int.from_bytes(nonce, "big")
        if number <= self._heard_nonce:
            raise ZmtpError("a MESSAGE that was here before")
        plain = _open(bytes(memoryview(frame)[16:]), b"CurveZMQMESSAGEC" + nonce, self._shared)
        self._heard_nonce = number
        return plain[0], plain[1:]

    def sealed(self, flags: int, body: bytes | memoryview) -> bytes:
        """The MESSAGE that carries a frame."""
        nonce = self._next_nonce()
        plain = b"".join((bytes((flags,)), body))
        return _MESSAGE + nonce + sodium.crypto_box_afternm(plain, b"CurveZMQMESSAGES" + nonce, self._shared)

    def _ready(self, metadata: bytes) -> bytes:
        nonce = self._next_nonce()
        return _READY + nonce + sodium.crypto_box_afternm(metadata, b"CurveZMQREADY---" + nonce, self._shared)

    def _next_nonce(self) -> bytes:
        self._said_nonce += 1
        return self._said_nonce.to_bytes(8, "big")


def _before(public: bytes, secret: bytes) -> bytes:
    try:
        return sodium.crypto_box_beforenm(public, secret)
    except CryptoError as error:
        # A key of low order, which everybody could open.
        raise ZmtpError(f"a key that is none: {error}") from None


def _open(box: bytes, nonce: bytes, shared: bytes) -> bytes:
    try:
        return sodium.crypto_box_open_afternm(box, nonce, shared)
    except (CryptoError, ValueError, TypeError):
        raise ZmtpError("a box that does not open: other keys, or changed on its way") from None
