"""Infer calls over HTTP: good ones, and the same with something wrong in their JSON, bytes, headers or framing."""

import gzip
import json
import random
import zlib
from typing import Any, Final

from tools.fuzz.seeds import KEYS, REGION, ROW, cut

_HEADER_LENGTH: Final = b"Inference-Header-Content-Length"
_STRINGS: Final = b"\x02\0\0\0ab\x01\0\0\0c"
_DEEP: Final[list[Any]] = [[[[[[[[[[]]]]]]]]]]
#: What takes the place of values in documents, as JSON: whoever takes one may change it.
_ODD_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, 2, 3, -1, 15, 16, 17, 63, 64, 65, 128, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63),
    *((1 << 64) - 1, 1 << 64, -(1 << 63), 1 << 70, 0.5, -0.0, 1e300, float("nan"), float("inf"), "", "a", "\0", "é"),
    *("\ud800", "x" * 300, "INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1", "FP32", "INT32", "INT64", "BYTES", "BOOL", "BF16"),
    *("FP16", "NONE", REGION, "nobody", [], {}, [[]], [0], [1], [-1], [1, 16], [2, 16], [1 << 32, 1 << 32], _DEEP),
    *([1, "a"], [None], [True, False], {"binary_data_size": 64}, {"binary_data": True}, {"classification": 2}),
    *({"shared_memory_region": REGION, "shared_memory_byte_size": 64}, {"shared_memory_offset": 1 << 63}),
)
_ODD: Final = [json.dumps(value) for value in _ODD_VALUES]
_LENGTHS: Final = (
    *(b"", b"0", b"1", b"-1", b"+5", b" 7", b"1e3", b"0x10", b"99999999999999999999", b"4294967296", b"abc", b"\xff"),
)
_PATHS: Final = (
    *(b"/v2/models/%s/infer?x=1", b"/v2/models/%s/versions/1/infer", b"/v2/models/%s/versions/7/infer"),
    *(b"/v2/models/%s/versions/99999999999999999999/infer", b"/v2/models/%s/versions//infer", b"/v2/models//infer"),
    *(b"/v2/models/nobody/infer", b"/v2/models/%s%%00/infer", b"/v2/models/%s/generate", b"/v2/models/%s/infers"),
    *(b"//v2/models/%s/infer", b"/v2/models/%%2e%%2e/infer", b"/v2/repository/index", b"/v2/models/stats"),
)
_MORE_HEADERS: Final = (
    *(
        b"Accept-Encoding: gzip",
        b"Accept-Encoding: deflate, gzip;q=0",
        b"Accept-Encoding: \xff,,;q=",
        b"X: " + b"y" * 2000,
    ),
    *(b"Content-Type: text/plain", b"Expect: 100-continue", b"triton-request-id: 7", b"Content-Encoding: identity"),
    *(b"Inference-Header-Content-Length: 1", b"Cookie: \x80\x81", b"Upgrade: h2c", b"Content-Encoding: br"),
)


def _tensor(name: str, datatype: str, shape: list[int], data: Any = None, **parameters: Any) -> dict[str, Any]:
    more = {"parameters": parameters} if parameters else {}
    return {"name": name, "datatype": datatype, "shape": shape, **more, **({} if data is None else {"data": data})}


def _placed(name: str, start: int, **fields: Any) -> dict[str, Any]:
    size = {"shared_memory_region": REGION, "shared_memory_offset": start, "shared_memory_byte_size": 64}
    return {"name": name, **fields, "parameters": size}


_GOOD_HEAD: Final = json.dumps({
    "inputs": [_tensor(name, "INT32", [1, 16], binary_data_size=64) for name in ("INPUT0", "INPUT1")],
    "parameters": {"binary_data_output": True},
}).encode()  # fmt: skip
_DOCUMENTS: Final[list[tuple[bytes, str, bytes]]] = [
    (model.encode(), json.dumps(document), tail) for model, document, tail in (
        ("simple", {
            "id": "a", "parameters": {"binary_data_output": True, "x": 1},
            "inputs": [_tensor(name, "INT32", [1, 16], binary_data_size=64) for name in ("INPUT0", "INPUT1")],
            "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}],
        }, bytes(128)),
        ("simple", {
            "inputs": [_placed(f"INPUT{at}", at * 64, datatype="INT32", shape=[1, 16]) for at in range(2)],
            "outputs": [_placed(f"OUTPUT{at}", 128 + at * 64) for at in range(2)],
        }, b""),
        ("mixed", {"inputs": [
            _tensor("INPUT0", "FP32", [2], [0.5, 2]), _tensor("INPUT1", "BYTES", [2], binary_data_size=11),
            _tensor("INPUT2", "INT64", [1], [7]), _tensor("INPUT3", "BOOL", [1], [True])]}, _STRINGS),
        ("strings", {"inputs": [_tensor("INPUT0", "BYTES", [2, 1], ["a", "é"])]}, b""),
        ("id_fp32", {"inputs": [_tensor("INPUT0", "FP32", [3], [1, 2, 3])],
                     "outputs": [{"name": "OUTPUT0", "parameters": {"classification": 2}}]}, b""),
    )
]  # fmt: skip


class HttpRequests:
    """Makes requests at random, the same ones for the same seed."""

    def __init__(self, rng: random.Random) -> None:
        self.random: Final = rng

    def good(self) -> tuple[bytes, bytes]:
        """A request and the binary data of its answer."""
        left = [self.random.randrange(1 << 20) for _ in range(16)]
        tail = ROW.pack(*left) + ROW.pack(*range(16))
        answer = ROW.pack(*(a + b for a, b in zip(left, range(16), strict=True)))
        answer += ROW.pack(*(a - b for a, b in zip(left, range(16), strict=True)))
        return _post(b"/v2/models/simple/infer", [_length(len(_GOOD_HEAD))], _GOOD_HEAD + tail), answer

    def broken(self) -> bytes:
        """A request that ends where it says it ends, whatever else is wrong with it."""
        rng = self.random
        model, head, tail = self._document()
        path = b"/v2/models/%s/infer" % model
        headers = []
        kind = rng.randrange(16)
        if kind == 0:
            form = rng.choice(_PATHS)
            path = form % model if b"%s" in form else form.replace(b"%%", b"%")
        if tail or rng.randrange(2):
            headers.append(_length(len(head)))
        if kind in (1, 2) and headers:
            headers[0] = _HEADER_LENGTH + b": " + (
                rng.choice(_LENGTHS) if kind == 1 else b"%d" % (len(head) + rng.randrange(-20, 20))
            )  # fmt: skip
        if kind in (3, 4):
            tail = cut(rng, tail)
        if kind == 5:
            headers.append(rng.choice(_MORE_HEADERS))
        body = head + tail
        if kind == 6:
            gzipped = rng.randrange(2)
            body = gzip.compress(body, 1, mtime=0) if gzipped else zlib.compress(body, 1)
            headers.append(b"Content-Encoding: " + (b"gzip" if gzipped == rng.randrange(4) > 0 else b"deflate"))
            if rng.randrange(2):
                body = cut(rng, body)
        return _post(path, headers, body, self._chunks(body) if kind == 7 else None)

    def unframed(self) -> bytes:
        """A request whose framing is wrong: how many requests these bytes are is anybody's guess."""
        rng = self.random
        data = self.broken() if rng.randrange(2) else self.good()[0]
        match rng.randrange(6):
            case 0:
                # Cut off anywhere.
                return data[: rng.randrange(len(data))]
            case 1:
                at = data.find(b"Content-Length: ") + 16
                return data[:at] + rng.choice(_LENGTHS) + data[at:]
            case 2:
                body = rng.randbytes(40)
                return _post(b"/v2/models/simple/infer", [_length(9)], body, cut(rng, self._chunks(body)))
            case 3:
                return data.replace(b"Host:", b"Connection: close\r\nHost:")
            case 4:
                return data.replace(
                    b"HTTP/1.1", rng.choice((b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 x", b""))
                )
            case _:
                at = data.find(b"\r\n\r\n")
                return cut(rng, data[:at]) + data[at:]

    def _document(self) -> tuple[bytes, bytes, bytes]:
        rng = self.random
        model, text, tail = rng.choice(_DOCUMENTS)
        if rng.randrange(4) == 0:
            return model, cut(rng, text.encode()), tail
        document = json.loads(text)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            self._change(document)
        return model, json.dumps(document, ensure_ascii=rng.randrange(2) == 0).encode(errors="surrogatepass"), tail

    def _change(self, document: Any) -> None:
        """Walk down at random and change what is there."""
        rng = self.random
        holder = document
        while True:
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            if not keys:
                return
            key = rng.choice(keys)
            if not isinstance(holder[key], dict | list) or rng.randrange(6) == 0:
                break
            holder = holder[key]
        match rng.randrange(5):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(KEYS)] = json.loads(json.dumps(holder[key]))
            case 2 if isinstance(holder, dict):
                holder[rng.choice(KEYS)] = json.loads(rng.choice(_ODD))
            case 0 | 1 if isinstance(holder, list):
                holder.append(json.loads(json.dumps(holder[key])))
            case _:
                holder[key] = json.loads(rng.choice(_ODD))

    def _chunks(self, body: bytes) -> bytes:
        step = self.random.choice((1, 7, 100, 1000)) if len(body) < 500 else 500
        pieces = [body[at : at + step] for at in range(0, len(body), step)]
        return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _post(path: bytes, headers: list[bytes], body: bytes, chunks: bytes | None = None) -> bytes:
    framing = b"Content-Length: %d" % len(body) if chunks is None else b"Transfer-Encoding: chunked"
    lines = [b"POST %s HTTP/1.1" % path, b"Host: f", framing, *headers, b"", body if chunks is None else chunks]
    return b"\r\n".join(lines)


def _length(size_bytes: int) -> bytes:
    return b"%s: %d" % (_HEADER_LENGTH, size_bytes)
