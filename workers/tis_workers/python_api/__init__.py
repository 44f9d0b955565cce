"""What models written for Triton's Python backend see of the server: the parts of `triton_python_backend_utils`.

Models import it by that name, which is a top-level module of this distribution. Names, signatures and texts are those of
Triton 2.51, so that a `model.py` runs unchanged.
"""
