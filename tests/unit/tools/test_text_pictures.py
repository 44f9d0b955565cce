"""From the bytes of a picture file to what the text detection takes, and from logits to words."""

import io

import numpy as np
import pytest
from PIL import Image

from model_repository.detection_preprocessing.text_pictures import LONGEST, MULTIPLE, decode_picture, prepare_picture
from model_repository.recognition_postprocessing.ctc_words import ALPHABET, decode


def file_of(picture: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "CMYK"])
def test_pictures_of_all_kinds_become_red_green_and_blue(mode: str) -> None:
    data = file_of(Image.new("RGB", (5, 3), "white").convert(mode), "TIFF")
    np.testing.assert_array_equal(decode_picture(data), np.full((3, 5, 3), 255, np.uint8))


def test_transparent_parts_are_white_paper() -> None:
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    picture.putpixel((1, 2), (200, 10, 20, 255))
    pixels = decode_picture(file_of(picture))
    assert pixels[2, 1].tolist() == [200, 10, 20]
    assert (np.delete(pixels.reshape(16, 3), 9, axis=0) == 255).all()


@pytest.mark.parametrize("data", [b"", b"no picture", file_of(Image.new("RGB", (64, 64)))[:60]])
def test_what_is_no_picture_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ValueError, match="the picture"):
        decode_picture(data)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (32, 32), (33, 31), (640, 480), (100, 1000)])
def test_a_picture_is_filled_up_to_a_size_that_the_detection_takes(width: int, height: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)
    prepared, scale = prepare_picture(pixels)
    assert scale == 1.0
    assert prepared.dtype == np.float32
    assert prepared.shape[0] % MULTIPLE == prepared.shape[1] % MULTIPLE == 0
    assert 0 <= prepared.shape[0] - height < MULTIPLE
    np.testing.assert_array_equal(prepared[:height, :width], pixels)
    np.testing.assert_array_equal(
        prepared[height:, :width], np.broadcast_to(pixels[-1:], prepared[height:, :width].shape)
    )


def test_a_large_picture_is_made_smaller() -> None:
    prepared, scale = prepare_picture(np.zeros((1000, 4000, 3), np.uint8))
    assert scale == LONGEST / 4000
    assert prepared.shape == (320, LONGEST, 3)


def logits_of(steps: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.eye(len(ALPHABET), dtype=np.float32)[[ALPHABET.index(each) for each in steps]]


def test_neighbours_that_are_equal_are_one_letter_unless_a_blank_parts_them() -> None:
    words = ["--zoo---", "zzo-o--9", "zo-----o", "--------"]
    assert decode(np.stack([logits_of(each) for each in words])) == ["zo", "zoo9", "zoo", ""]
    assert decode(logits_of("-a-bb-")) == ["ab"]


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="expected logits of shape"):
        decode(np.zeros((1, 25, 36), np.float32))
