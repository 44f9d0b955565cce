"""Compressed bodies over HTTP, and answers that the client wants compressed."""

import gzip
import zlib
from typing import Final

from tests.conformance.case import HEADER_LENGTH, Case, case, dump, get, infer, infer_binary, post, tensor

_DOCUMENT: Final = {"inputs": [tensor("INPUT0", "FP32", [64], [1.5] * 64)]}
_JSON: Final = dump(_DOCUMENT)
_GZIP: Final = gzip.compress(_JSON, mtime=0)
_DEFLATE: Final = zlib.compress(_JSON)
_HEAD: Final = dump(
    {"inputs": [tensor("INPUT0", "FP32", [2], binary_data_size=8)], "parameters": {"binary_data_output": True}}
)
_PATH: Final = "/v2/models/id_fp32/infer"

_ACCEPTED: Final = (
    "gzip", "deflate", "identity", "gzip, deflate", "deflate, gzip", "deflate;q=0.5, gzip;q=0.8", "gzip;q=0", "br",
    "br, gzip", "*", "GZIP", "gzip;q=0.5, identity", "identity;q=0.5, gzip", "", "gzip;q=abc", "gzip ; q=1", "x, ,gzip",
)  # fmt: skip

CASES: Final[tuple[Case, ...]] = (
    case("gzip", infer("id_fp32", _GZIP, Content_Encoding="gzip")),
    case("deflate", infer("id_fp32", _DEFLATE, Content_Encoding="deflate")),
    case("identity", infer("id_fp32", _JSON, Content_Encoding="identity")),
    case("an empty encoding", infer("id_fp32", _JSON, Content_Encoding="")),
    case("raw deflate", infer("id_fp32", _DEFLATE[2:-4], Content_Encoding="deflate")),
    case("gzip that is deflate", infer("id_fp32", _DEFLATE, Content_Encoding="gzip")),
    case("deflate that is gzip", infer("id_fp32", _GZIP, Content_Encoding="deflate")),
    case("gzip that is none", infer("id_fp32", _JSON, Content_Encoding="gzip")),
    case("gzip cut short", infer("id_fp32", _GZIP[:-12], Content_Encoding="gzip")),
    case("gzip of nothing", infer("id_fp32", gzip.compress(b"", mtime=0), Content_Encoding="gzip")),
    case("gzip of no bytes", infer("id_fp32", b"", Content_Encoding="gzip")),
    case("gzip in upper case", infer("id_fp32", _GZIP, Content_Encoding="GZIP")),
    case("two encodings", infer("id_fp32", _GZIP, Content_Encoding="gzip, deflate")),
    case("an unknown encoding", infer("id_fp32", _JSON, Content_Encoding="br")),
    case("an unknown encoding of an unknown model", infer("nobody", _JSON, Content_Encoding="br")),
    case("gzip with binary data", post(_PATH, gzip.compress(_HEAD + bytes(8), mtime=0),
                                       Content_Encoding="gzip", **{HEADER_LENGTH: str(len(_HEAD))})),
    case("gzip with a length beyond", post(_PATH, gzip.compress(_HEAD + bytes(8), mtime=0),
                                           Content_Encoding="gzip", **{HEADER_LENGTH: "5000"})),
    case("gzip with raw binary", post(_PATH, gzip.compress(bytes(8), mtime=0), Content_Encoding="gzip", **{HEADER_LENGTH: "0"})),
    *(case(f"accepting '{text}'", infer("id_fp32", _DOCUMENT, Accept_Encoding=text)) for text in _ACCEPTED),
    case("binary data accepting gzip", infer_binary("id_fp32", _HEAD, bytes(8), Accept_Encoding="gzip")),
    case("binary data accepting deflate", infer_binary("id_fp32", _HEAD, bytes(8), Accept_Encoding="deflate")),
    case("an error accepting gzip", infer("id_fp32", b"{}", Accept_Encoding="gzip")),
    case("metadata accepting gzip", get("/v2/models/id_fp32", Accept_Encoding="gzip"), masks=["backend"]),
    case("gzip both ways", infer("id_fp32", _GZIP, Content_Encoding="gzip", Accept_Encoding="gzip")),
)  # fmt: skip
