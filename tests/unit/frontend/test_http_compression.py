"""Which encoding a response has, and what becomes of compressed bodies, whole or broken."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.errors import Code, TisError
from tis_frontend.http.compression import chosen, compressed, decompressed, is_compressed

BODY = b'{"inputs":[]}'


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"identity", b""),
        (b"gzip, deflate", b"gzip"),
        (b"deflate, gzip", b"deflate"),
        (b"gzip;q=0.5, deflate;q=0.8", b"deflate"),
        (b"gzip;q=0", b""),
        (b"gzip;q=0.1, identity;q=0.5", b""),
        (b"identity, gzip", b""),
        (b"*", b""),
        (b"br, gzip;q=0.2", b"gzip"),
        (b"*;q=1, gzip;q=0.5", b"gzip"),
        (b"GZIP", b""),
        (b"gzip;q=abc", b""),
        (b"gzip;q=nan", b""),
        (b"gzip; q=0.5 , deflate;q=0.4", b"gzip"),
        (b"gzip;foo=1", b""),
        (b"gzip;q=2", b"gzip"),
        (b"", b""),
        (b";;,=,;q=1", b""),
    ],
)
def test_the_highest_weight_wins_and_of_equal_ones_the_first(accept: bytes, encoding: bytes) -> None:
    assert chosen(accept) == encoding


def test_only_gzip_deflate_and_identity_are_encodings() -> None:
    assert [is_compressed(each) for each in (None, b"identity", b"gzip", b"deflate")] == [False, False, True, True]
    for encoding in (b"br", b"GZIP", b"", b"gzip, deflate"):
        with pytest.raises(TisError, match="Unsupported compression type") as caught:
            is_compressed(encoding)
        assert caught.value.code is Code.UNSUPPORTED


def test_the_format_is_told_by_the_content_whatever_the_header_says() -> None:
    for body in (gzip.compress(BODY), zlib.compress(BODY), gzip.compress(BODY) + b"behind it"):
        assert decompressed(body, 1000) == BODY


@pytest.mark.parametrize("body", [b"", b"garbage!", gzip.compress(BODY, mtime=0)[:-9], zlib.compress(BODY)[2:-4]])
def test_a_broken_body_is_refused(body: bytes) -> None:
    with pytest.raises(TisError) as caught:
        decompressed(body, 1000)
    assert caught.value.code is Code.INVALID_ARG


def test_a_body_that_grows_beyond_the_limit_is_refused_without_being_unpacked() -> None:
    bomb = gzip.compress(bytes(1 << 20))
    assert len(decompressed(bomb, 1 << 20)) == 1 << 20
    with pytest.raises(TisError, match="Decompressed data size exceeds the maximum allowed value of 1048575 bytes"):
        decompressed(bomb, (1 << 20) - 1)


@given(st.lists(st.binary(max_size=50), max_size=5), st.sampled_from([b"gzip", b"deflate"]))
def test_what_is_compressed_reads_back(parts: list[bytes], encoding: bytes) -> None:
    body = compressed(parts, encoding)
    assert (gzip.decompress(body) if encoding == b"gzip" else zlib.decompress(body)) == b"".join(parts)
