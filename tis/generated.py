"""NVIDIA's own protobuf messages, loaded without gRPC. Only how they are found lives here, no rule about any message.

Facts: the installed `tritonclient` ships the generated modules in `tritonclient.grpc`. Danger: importing one by name first
runs `tritonclient/grpc/__init__.py`, which imports grpc and the whole client: time and twenty megabytes that no process of
the server needs, and the supervisor must stay free of grpc. Decision: load the files by their path and leave them out of
`sys.modules`, where they would break `import tritonclient.grpc.…` for want of their parent. A later real import in the same
process runs a file again, which protobuf allows: it hands out one class per message type, so both modules hold the very same
classes. Cost: we rely on the files' place in the package.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

_PACKAGE: Final = "tritonclient.grpc"


def load(name: str, *needed: tuple[str, ModuleType]) -> ModuleType:
    """A generated module; loaded from its file unless somebody already imported its package.

    Args:
        name: such as `model_config_pb2`.
        needed: other generated modules that this one imports, by name.

    Raises:
        ImportError: tritonclient is not installed.
    """
    if _PACKAGE in sys.modules:
        return importlib.import_module(f"{_PACKAGE}.{name}")
    full_name = f"{_PACKAGE}.{name}"
    root = importlib.util.find_spec("tritonclient")
    for folder in root.submodule_search_locations or () if root else ():
        path = Path(folder) / "grpc" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(full_name, path) if path.is_file() else None
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            # What it imports from its package it finds there, for as long as it is loaded.
            package = ModuleType(_PACKAGE)
            package.__dict__.update(needed)
            sys.modules[_PACKAGE] = package
            try:
                spec.loader.exec_module(module)
            finally:
                del sys.modules[_PACKAGE]
            return module
    raise ImportError(f"{full_name} not found: install tritonclient, which carries Triton's messages", name=full_name)
