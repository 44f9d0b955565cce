"""tis: an inference server in Python that a Triton user can swap in."""

__version__ = "0.1.0"

#: The Triton release whose observable behaviour this server reproduces.
TRITON_VERSION = "2.51.0"
