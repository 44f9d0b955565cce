"""Where this server answers otherwise than Triton 2.51 on purpose, case by case, with the reason.

A case that no longer differs fails, so that the list stays true.
"""

from typing import Final

_TOO_MANY: Final = "the reference prints a lone bracket where no input is missing"
_DIGITS: Final = "the shortest digits that read back the same; the reference's last digit is at times not the nearest"
_UTF8: Final = "JSON has to be UTF-8; the reference passes on whatever bytes there are"
_ONNX_STRINGS: Final = "strings of ONNX models have to be UTF-8"
_CUT_STRINGS: Final = (
    "found in the server, with the model's name and the request's id; on the reference the Python backend finds it"
)
_LENGTH: Final = (
    "the announced length of the JSON is no size: refused as newer versions of Triton do; 2.51 read it as 0 or cut it"
)
_OVERFLOW: Final = "sizes are counted without overflow"
_NEGATIVE: Final = "a negative dimension is named as such, whichever it is"
_UNPACKING: Final = (
    "a body that cannot be unpacked is refused; the reference takes as much as it could read, be it nothing"
)
_SPACES: Final = "spaces around a weight are read as HTTP has them"
_TWICE: Final = "of a key that stands twice the last counts; RapidJSON finds the first"
_NO_FIELDS: Final = "a call without fields is answered whatever its message holds"
_UNKNOWN_CALL: Final = "grpcio says so in words; the status is the same"
_CONTENT_TYPE: Final = "the error is the same; it is JSON and says so"
_SAME_KEY: Final = "two regions may share a key, as in newer versions of Triton"
_WITH_ID: Final = "the text begins with the request's id, as that of every failed execution"
_NO_GPU: Final = "without a GPU the same text over gRPC as over HTTP"
_NUMBERS: Final = "a setting that is no number, or below 0, is refused; the reference cuts it or takes it as unsigned"
_STRICT: Final = "who asks for errors as status gets every error so; 2.51 gives only those of an execution so"
_ONCE: Final = "the parameters of an ensemble's answer stand there once; the reference writes them for every output"
_PRUNED: Final = "the steps that the outputs need are run; the reference drops one of them and finds a deadlock"
_STEP_ID: Final = "the text has the request's id, as every error of a request"

DIFFERENCES: Final[dict[str, str]] = {
    "errors/body: an input too many": _TOO_MANY,
    "errors/three inputs for two": _TOO_MANY,
    "grpc_errors/an input too many": _TOO_MANY,
    "datatypes/FP32 given beyond 64 bits": _DIGITS,
    "datatypes/FP64 given beyond 64 bits": _DIGITS,
    "infer_binary/floats as JSON": _DIGITS,
    "infer_binary/small floats as JSON": _DIGITS,
    "datatypes/BYTES that are not UTF-8": _UTF8,
    "errors/body: not UTF-8": _UTF8,
    "infer_binary/strings that are not UTF-8, answered as binary": _ONNX_STRINGS,
    "infer_binary/strings that are not UTF-8, answered as JSON": _ONNX_STRINGS,
    "infer_binary/a string cut in its text": _CUT_STRINGS,
    "infer_binary/a string of a huge length": _CUT_STRINGS,
    "grpc_errors/a string cut in its text": _CUT_STRINGS,
    "infer_binary/length of the JSON negative": _LENGTH,
    "infer_binary/length of the JSON is no number": _LENGTH,
    "infer_binary/length of the JSON ends in letters": _LENGTH,
    "infer_binary/length of the JSON is empty": _LENGTH,
    "infer_binary/length of the JSON beyond 64 bits": _LENGTH,
    "raw_binary/id_fp32, 16 bytes, length abc": _LENGTH,
    "errors/body: a shape whose product overflows": _OVERFLOW,
    "grpc_errors/a huge shape": _OVERFLOW,
    "grpc_errors/a shape whose product overflows": _OVERFLOW,
    "classification/a huge number of classes": _OVERFLOW,
    "grpc_errors/a negative batch": _NEGATIVE,
    "grpc_errors/a dimension below -1": _NEGATIVE,
    "compression/raw deflate": _UNPACKING,
    "compression/gzip that is none": _UNPACKING,
    "compression/gzip cut short": _UNPACKING,
    "compression/accepting 'gzip ; q=1'": _SPACES,
    "infer_json/a key twice": _TWICE,
    "grpc_errors/not a message of ServerLive": _NO_FIELDS,
    "grpc_errors/an unknown call": _UNKNOWN_CALL,
    "health/a large version": _CONTENT_TYPE,
    "shm/register a key twice": _SAME_KEY,
    "shm/output too small": _WITH_ID,
    "shm/gRPC: output too small": _WITH_ID,
    "shm/gRPC: CUDA register": _NO_GPU,
    "trace/a negative rate": _NUMBERS,
    "trace/a rate that ends in letters": _NUMBERS,
    "trace/a negative frequency": _NUMBERS,
    "grpc_stream/errors as status, unknown model": _STRICT,
    "grpc_stream/errors as status, wrong shape": _STRICT,
    "grpc_stream/errors as status, after a good one": _STRICT,
    "ensembles/two outputs": _ONCE,
    "ensembles/two outputs in the other order": _ONCE,
    "ensembles/three outputs": _ONCE,
    "ensembles/shared memory: an output that another step reads": _ONCE,
    "ensembles/an output behind another one": _PRUNED,
    "ensembles/an output whose step makes another one, too": _PRUNED,
    "ensembles/shared memory: too small": _STEP_ID,
}
