"""Which version answers, over HTTP."""

from typing import Final

from tests.conformance.case import Case, case, get, infer, tensor

_DOCUMENT: Final = {"inputs": [tensor("INPUT0", "INT32", [1, 4], [1, 2, 3, 4])]}

CASES: Final[tuple[Case, ...]] = (
    case("none given", infer("versioned", _DOCUMENT)),
    *(case(f"version '{text}'", infer("versioned", _DOCUMENT, version=text)) for text in (
        "1", "2", "3", "4", "01", "003", "0", "-1", "1.0", "x", "%31", "+1", "99999999999999999999", "18446744073709551617",
    )),
    *(case(f"metadata of version '{text}'", get(f"/v2/models/versioned/versions/{text}"), masks=["backend"])
      for text in ("1", "01", "3", "1.0", "%31")),
)  # fmt: skip
