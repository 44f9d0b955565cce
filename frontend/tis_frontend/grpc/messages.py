"""The messages of NVIDIA's `grpc_service.proto`, loaded without gRPC."""

from typing import Any, Final

from tis.config.proto import model_config_pb2
from tis.generated import load

#: The generated module. The package ships no stubs, so checkers cannot see inside.
pb: Final[Any] = load("service_pb2", ("model_config_pb2", model_config_pb2))
