"""Which part of the interface each call belongs to; parts can be restricted (see `tis_frontend.restriction`)."""

from typing import Final

_METHODS: Final = {
    "health": ("ServerLive", "ServerReady", "ModelReady", "Check"),
    "metadata": ("ServerMetadata", "ModelMetadata"),
    "inference": ("ModelInfer", "ModelStreamInfer"),
    "shared-memory": (
        *("SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister"),
        *("CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"),
    ),
    "model-config": ("ModelConfig",),
    "model-repository": ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"),
    "statistics": ("ModelStatistics",),
    "trace": ("TraceSetting",),
    "logging": ("LogSettings",),
}
#: The category of each method, by Triton's names.
CATEGORIES: Final = {method: category for category, methods in _METHODS.items() for method in methods}
#: What Triton puts before the name of a header that opens a restricted part.
HEADER_PREFIX: Final = "triton-grpc-protocol-"
