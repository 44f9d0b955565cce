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
GRPC_STREAM_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
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
    #: The answer's bytes where it is not the tensor.
    answer_bytes: int = 0

    def headers(self) -> dict[str, str]:
        """The request's own headers."""
        return {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(self.header_length)}

    def check(self, endpoint: Endpoint) -> None:
        """Send the request once; raise unless the right answer comes back: the tensor as it went, or so many bytes."""
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
        data = answer[int(response.getheader(HEADER_LENGTH) or 0) :]
        if self.answer_bytes and len(data) != self.answer_bytes:
            raise RunError(f"{self.path}: the outputs take {len(data)} bytes instead of {self.answer_bytes}")
        if not self.answer_bytes and data != self.tensor:
            raise RunError(f"{self.path}: the output is not the input")


@dataclass(frozen=True)
class GrpcPayload:
    """A serialized ModelInferRequest, alone or as all that is sent on a stream."""

    message: bytes
    tensor: bytes
    method: str = GRPC_METHOD
    #: How many responses answer it.
    responses: int = 1

    @property
    def frame(self) -> bytes:
        """The message as gRPC puts it into HTTP/2 data frames: not compressed, its length, itself."""
        return b"\0" + len(self.message).to_bytes(GRPC_PREFIX_BYTES - 1, "big") + self.message

    def check(self, endpoint: Endpoint) -> int:
        """Send the request once; raise unless the tensor comes back as it went. Returns the answers' framed length."""
        answers = self.ask(endpoint)
        if len(answers) != self.responses:
            raise RunError(f"{self.method}: {len(answers)} responses instead of {self.responses}")
        for answer in answers:
            if self.output(answer) != [self.tensor]:
                raise RunError(f"{self.method}: the output is not the input")
        return sum(GRPC_PREFIX_BYTES + len(answer) for answer in answers)

    def ask(self, endpoint: Endpoint) -> list[bytes]:
        """Send the request once, for its responses."""
        options = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(endpoint.grpc_address, options=options) as channel:
            # Without serializers: bytes in, bytes out.
            try:
                if self.method == GRPC_STREAM_METHOD:
                    return list(channel.stream_stream(self.method)(iter([self.message]), timeout=ANSWER_DEADLINE_S))
                return [channel.unary_unary(self.method)(self.message, timeout=ANSWER_DEADLINE_S)]
            except grpc.RpcError as error:
                raise RunError(f"{self.method}: {error}") from error

    def output(self, answer: bytes) -> list[bytes]:
        """What an answer holds."""
        if self.method == GRPC_STREAM_METHOD:
            response = service_pb2.ModelStreamInferResponse.FromString(answer).infer_response
        else:
            response = service_pb2.ModelInferResponse.FromString(answer)
        return list(response.raw_output_contents)


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
    return HttpPayload(f"/v2/models/{model.name}/infer", header + tensor, len(header), tensor, model.answer_bytes)


def grpc_payload(model: Model, serving: Serving, *, streamed: bool) -> GrpcPayload:
    """Build the gRPC request for a model."""
    tensor = tensor_bytes(model)
    request = service_pb2.ModelInferRequest(model_name=model.name, raw_input_contents=[tensor])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=serving.shape(model))
    method = GRPC_STREAM_METHOD if streamed else GRPC_METHOD
    return GrpcPayload(request.SerializeToString(), tensor, method, model.responses)
