"""tis: an inference server in Python that a Triton user can swap in."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tis.functions import batching, model, tensor

__all__ = ["TRITON_VERSION", "__version__", "batching", "model", "tensor"]

__version__ = "0.1.0"

#: The Triton release whose observable behaviour this server reproduces.
TRITON_VERSION = "2.51.0"


def __getattr__(name: str) -> Any:
    """What functions are declared with, imported when it is asked for: `import tis` alone loads nothing."""
    if name in ("batching", "model", "tensor"):
        import tis.functions

        return getattr(tis.functions, name)
    raise AttributeError(f"module 'tis' has no attribute {name!r}")
