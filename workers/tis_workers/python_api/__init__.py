"""What models written for Triton's Python backend see of the server: the parts of `triton_python_backend_utils`.

Models import it by that name from `importable`, which the backend puts on their path. Names, signatures and texts are
those of Triton 2.51, so that a `model.py` runs unchanged.
"""
