"""Words cut out of a picture, set upright and brought to size."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from model_repository.detection_postprocessing.text_crops import HEIGHT, WIDTH, crop_words

Floats = npt.NDArray[np.float32]


def picture(grey: Floats) -> Floats:
    return np.repeat(grey[..., np.newaxis], 3, axis=2).astype(np.float32)


def box(x: float, y: float, long: float, high: float, degrees: float = 0.0) -> Floats:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = np.array([[-long, -high], [long, -high], [long, high], [-long, high]]) / 2
    return (corners @ [[cos, -sin], [sin, cos]] + [x, y]).astype(np.float32)


def slope(degrees: float) -> tuple[Floats, Floats]:
    """How far along and down a line of text each pixel of a picture is from (150, 100), for a text turned so."""
    rows, columns = np.mgrid[0:200, 0:300] + 0.5
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along = (columns - 150) * cos - (rows - 100) * sin
    down = (columns - 150) * sin + (rows - 100) * cos
    return along.astype(np.float32), down.astype(np.float32)


@pytest.mark.parametrize("degrees", [-10.0, 0.0, 8.0])
def test_a_turned_word_stands_upright(degrees: float) -> None:
    along, down = slope(degrees)
    for grey, axis in ((along, 1), (down, 0)):
        ((crop,),) = crop_words(
            picture((128 + grey / 2).astype(np.float32)), box(150, 100, 140, 40, degrees)[np.newaxis]
        )
        assert crop.shape == (HEIGHT, WIDTH)
        # The picture gets lighter along the word, or down from it, and not at all across.
        assert (np.diff(crop, axis=axis) > 0).all()
        assert np.abs(np.diff(crop, axis=1 - axis)).max() < 1e-3


def test_the_box_has_room_around_it() -> None:
    along, down = slope(0.0)
    for grey, half in ((along, 70 + 0.14 * 40), (down, 20 + 0.16 * 40)):
        ((crop,),) = crop_words(picture(127.5 + grey), box(150, 100, 140, 40)[np.newaxis])
        assert crop.max() * 127.5 == pytest.approx(half, rel=0.04)
        assert crop.min() * 127.5 == pytest.approx(-half, rel=0.04)


def test_black_is_minus_one_and_white_is_one() -> None:
    grey = np.zeros((100, 200), np.float32)
    grey[:, 100:] = 255
    ((crop,),) = crop_words(picture(grey), box(100, 50, 100, 20)[np.newaxis])
    assert crop[:, :45].max() == -1
    assert crop[:, 55:].min() == pytest.approx(1)


def test_beyond_the_edge_the_picture_goes_on_as_at_the_edge() -> None:
    crops = crop_words(picture(np.full((40, 60), 51, np.float32)), box(0, 0, 100, 30)[np.newaxis])
    np.testing.assert_allclose(crops, 51 / 127.5 - 1, atol=1e-5)


def test_fine_stripes_of_a_large_word_blend_instead_of_flickering() -> None:
    stripes = np.tile(np.array([0, 255], np.float32), (400, 500))
    ((crop,),) = crop_words(picture(stripes), box(500, 200, 800, 200)[np.newaxis])
    assert np.abs(crop).max() < 0.3


def test_all_words_come_as_one_batch_and_none_as_an_empty_one() -> None:
    grey = picture(np.zeros((100, 100), np.float32))
    assert crop_words(grey, np.stack([box(50, 50, 30, 10)] * 3)).shape == (3, 1, HEIGHT, WIDTH)
    assert crop_words(grey, np.zeros((0, 4, 2), np.float32)).shape == (0, 1, HEIGHT, WIDTH)
