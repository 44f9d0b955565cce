"""The table of backends Triton's core knows by name: platform, default model file, whether it opts into two CPU instances.

Only the table lives here (core: constants.h, model_config_utils.cc). Which of them this server can run is not said here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ENSEMBLE_PLATFORM: Final = "ensemble"
TENSORRT_PLATFORM: Final = "tensorrt_plan"


@dataclass(frozen=True)
class KnownModelFile:
    """A file in a version directory that gives its backend away."""

    filename: str
    backend: str
    platform: str  # "" where the backend has none
    #: True: it must be a directory; False: it must not be one; None: either.
    directory: bool | None = None
    #: Names that the file may have instead, unless the config says which.
    others: tuple[str, ...] = ()

    def name_in(self, files: Mapping[str, bool]) -> str:
        """Which of its names a version directory has; empty for none. `files`: its entries with "is a directory"."""
        for name in (self.filename, *self.others):
            if name in files and self.directory in (None, files[name]):
                return name
        return ""


#: In the order in which the core looks.
KNOWN_MODEL_FILES: Final[tuple[KnownModelFile, ...]] = (
    KnownModelFile("model.savedmodel", "tensorflow", "tensorflow_savedmodel", directory=True),
    KnownModelFile("model.graphdef", "tensorflow", "tensorflow_graphdef", directory=False),
    KnownModelFile("model.plan", "tensorrt", TENSORRT_PLATFORM, directory=False),
    KnownModelFile("model.onnx", "onnxruntime", "onnxruntime_onnx"),
    KnownModelFile("model.xml", "openvino", ""),
    KnownModelFile("model.pt", "pytorch", "pytorch_libtorch", directory=False, others=("model.pt2",)),
    KnownModelFile("model.py", "python", ""),
)

#: Backend by platform. A platform absent here belongs to no known backend.
BACKEND_OF_PLATFORM: Final[dict[str, str]] = {
    known.platform: known.backend for known in KNOWN_MODEL_FILES if known.platform
}

#: Backends that must stand beside a platform of theirs; any other backend may stand beside any platform.
BACKENDS_WITH_PLATFORM: Final[frozenset[str]] = frozenset(BACKEND_OF_PLATFORM.values())

#: Backends of which a CPU group gets two instances by default.
TWO_CPU_INSTANCES: Final[frozenset[str]] = frozenset({"onnxruntime", "tensorflow"})
