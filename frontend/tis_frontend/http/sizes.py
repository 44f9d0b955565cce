"""Sizes of the parts of an infer call: the header that tells JSON and tail apart, and words for what is too large."""

from typing import Final

from tis.errors import TisError, invalid

_MOST_DIGITS: Final = 18


def header_length(text: bytes) -> int:
    """Bytes of JSON before the tail; a number that is none counts as an error (Triton 2.51 read it as 0).

    Raises:
        TisError: INVALID_ARG for what is no number.
    """
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise invalid(f"Unable to parse Inference-Header-Content-Length, got: {text.decode('latin-1')}")
    return int(text)


def header_out_of_range(head_bytes: int, content_bytes: int) -> TisError:
    """More JSON is announced than the body has bytes."""
    return invalid(f"inference header size should be in range (0, {content_bytes}), got: {head_bytes}")


def json_too_large(size_bytes: int, most_bytes: int) -> TisError:
    """The JSON text is larger than allowed."""
    return invalid(
        f"request JSON size of {size_bytes} bytes exceeds the maximum allowed input size of {most_bytes} bytes. Use "
        "--http-max-input-size to increase the limit."
    )


def raw_too_large(size_bytes: int, most_bytes: int) -> TisError:
    """A body without JSON is larger than allowed."""
    return invalid(
        f"Raw input has a byte_size ({size_bytes} bytes) that exceeds the maximum allowed value of {most_bytes} bytes. "
        "Use --http-max-input-size to increase the limit."
    )


def tensor_too_large(name: str, size_bytes: int, most_bytes: int) -> TisError:
    """A tensor given as JSON is larger than allowed."""
    return invalid(
        f"JSON input '{name}' has a byte_size ({size_bytes} bytes) that exceeds the maximum allowed value of "
        f"{most_bytes} bytes. Use --http-max-input-size to increase the limit."
    )
