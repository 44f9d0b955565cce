"""The bytes of one inference request, for HTTP and for gRPC, and the check that its answer is right."""

import http.client
import json
from dataclasses import dataclass

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from .errors import RunError
from .models import Model, Serving
from .servers import Endpoint

GRPC_METHOD = "/inference.GRPCInferenceService/ModelInfer"
GRPC_PREFIX_BYTES = 5
HEADER_LENGTH = "Inference-Header-Content-Length"
ANSWER_DEADLINE_S = 30


def tensor_bytes(model: Model) -> bytes:
    """The values sent: random, so that nothing along the way gets them for free, and the same in each run."""
    return np.random.default_rng(seed=0).random(model.elements, dtype=np.float32).tobytes()


@dataclass(frozen=True)
class HttpPayload:
    """A V2 request with its tensor in binary after the JSON."""

    path: str
    body: bytes
    header_length: int
    tensor: bytes

    def headers(self) -> dict[str, str]:
        """The request's own headers."""
        return {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(self.header_length)}

    def check(self, endpoint: Endpoint) -> None:
        """Send the request once; raise unless the tensor comes back as it went."""
        connection = http.client.HTTPConnection(endpoint.host, endpoint.http_port, timeout=ANSWER_DEADLINE_S)
        try:
            connection.request("POST", self.path, self.body, self.headers())
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise RunError(f"{self.path}: {error!r}") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise RunError(f"{self.path}: status {response.status}: {answer[:200]!r}")
        if answer[int(response.getheader(HEADER_LENGTH) or 0) :] != self.tensor:
            raise RunError(f"{self.path}: the output is not the input")


@dataclass(frozen=True)
class GrpcPayload:
    """A serialized ModelInferRequest."""

    message: bytes
    tensor: bytes

    @property
    def frame(self) -> bytes:
        """The message as gRPC puts it into HTTP/2 data frames: not compressed, its length, itself."""
        return b"\0" + len(self.message).to_bytes(GRPC_PREFIX_BYTES - 1, "big") + self.message

    def check(self, endpoint: Endpoint) -> int:
        """Send the request once; raise unless the tensor comes back as it went. Returns the answer's framed length."""
        options = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(endpoint.grpc_address, options=options) as channel:
            call = channel.unary_unary(GRPC_METHOD)  # without serializers: bytes in, bytes out
            try:
                answer: bytes = call(self.message, timeout=ANSWER_DEADLINE_S)
            except grpc.RpcError as error:
                raise RunError(f"{GRPC_METHOD}: {error}") from error
        response = service_pb2.ModelInferResponse.FromString(answer)
        if list(response.raw_output_contents) != [self.tensor]:
            raise RunError(f"{GRPC_METHOD}: the output is not the input")
        return GRPC_PREFIX_BYTES + len(answer)


def http_payload(model: Model, serving: Serving) -> HttpPayload:
    """Build the HTTP request for a model."""
    tensor = tensor_bytes(model)
    entry = {
        "name": "INPUT0",
        "shape": serving.shape(model),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(tensor)},
    }
    header = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
    return HttpPayload(f"/v2/models/{model.name}/infer", header + tensor, len(header), tensor)


def grpc_payload(model: Model, serving: Serving) -> GrpcPayload:
    """Build the gRPC request for a model."""
    tensor = tensor_bytes(model)
    request = service_pb2.ModelInferRequest(model_name=model.name, raw_input_contents=[tensor])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=serving.shape(model))
    return GrpcPayload(request.SerializeToString(), tensor)
