"""From the maps of the text detection to boxes: the maps here are those that a perfect network would give."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from model_repository.detection_postprocessing.text_boxes import FEWEST, MOST_WORDS, STRIDE, find_boxes
from tools.text_detection.scenes import Word
from tools.text_detection.targets import make_targets

Floats = npt.NDArray[np.float32]

WIDTH, HEIGHT = 320, 256


def word(x: float, y: float, long: float, high: float, degrees: float = 0.0) -> Word:
    """A box around (x, y), turned against the clock."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = np.array([[-long, -high], [long, -high], [long, high], [-long, high]]) / 2
    return Word("", (corners @ [[cos, -sin], [sin, cos]] + [x, y]).astype(np.float32))


def maps(*words: Word) -> tuple[Floats, Floats]:
    targets = make_targets(list(words), WIDTH, HEIGHT)
    return targets.scores[..., np.newaxis], targets.geometry


@pytest.mark.parametrize("degrees", [-10.0, -3.0, 0.0, 5.0, 10.0])
def test_a_word_gets_the_box_that_its_cells_tell_of(degrees: float) -> None:
    only = word(160, 120, 140, 30, degrees)
    np.testing.assert_allclose(find_boxes(*maps(only)), [only.corners], atol=0.05)


def test_the_maps_mean_what_clients_of_the_east_model_take_them_for() -> None:
    # Such a client goes from a cell's place to the bottom right corner, and from there along the sides.
    only = word(160, 120, 140, 30, 7.0)
    scores, geometry = maps(only)
    row, column = np.argwhere(scores[..., 0] > 0)[5]
    top, right, bottom, left, angle = (float(each) for each in geometry[row, column])
    x = STRIDE * column + math.cos(angle) * right + math.sin(angle) * bottom
    y = STRIDE * row - math.sin(angle) * right + math.cos(angle) * bottom
    np.testing.assert_allclose((x, y), only.corners[2], atol=0.05)
    high, long = top + bottom, left + right
    above = (x - math.sin(angle) * high, y - math.cos(angle) * high)
    aside = (x - math.cos(angle) * long, y + math.sin(angle) * long)
    np.testing.assert_allclose((above, aside), (only.corners[1], only.corners[3]), atol=0.05)


def test_words_side_by_side_stay_apart() -> None:
    pair = word(80, 60, 100, 24), word(190, 60, 100, 24)
    np.testing.assert_allclose(find_boxes(*maps(*pair)), [each.corners for each in pair], atol=0.05)


def test_words_come_line_by_line() -> None:
    lines = word(60, 44, 60, 20), word(200, 40, 60, 20), word(70, 120, 90, 20), word(240, 126, 60, 20)
    last, first, third, second = (lines[each] for each in (3, 0, 2, 1))
    np.testing.assert_allclose(
        find_boxes(*maps(last, first, third, second)), [each.corners for each in lines], atol=0.05
    )


def test_cells_that_disagree_make_one_box_by_those_next_to_each_side() -> None:
    only = word(160, 120, 200, 30)
    scores, geometry = maps(only)
    columns = np.arange(WIDTH // STRIDE) * STRIDE
    # Cells far from a side misjudge it, the more the farther.
    geometry[..., 1] *= 1 + 0.1 * (geometry[..., 1] > 100)
    geometry[..., 3] *= 1 - 0.1 * (geometry[..., 3] > 100)
    assert columns[scores[..., 0].any(axis=0)].size > 40
    (box,) = find_boxes(scores, geometry)
    np.testing.assert_allclose(box, only.corners, atol=2.0)


@pytest.mark.parametrize("error", [-0.1, 0.05])
def test_a_box_lies_along_its_word_where_all_cells_misjudge_the_angle(error: float) -> None:
    only = word(160, 120, 160, 24, 6.0)
    scores, geometry = maps(only)
    geometry[..., 4] += error
    (box,) = find_boxes(scores, geometry)
    along = box[1] - box[0]
    assert -math.degrees(math.atan2(along[1], along[0])) == pytest.approx(6.0, abs=0.6)


def test_a_picture_without_words_has_no_boxes() -> None:
    assert find_boxes(*maps()).shape == (0, 4, 2)


def test_a_few_stray_cells_are_no_word() -> None:
    scores, geometry = maps()
    scores[10, 10 : 10 + FEWEST - 1] = 1
    geometry[..., :4] = 10
    assert len(find_boxes(scores, geometry)) == 0


def test_there_are_no_more_words_than_the_recognition_takes() -> None:
    many = [word(x, y, 18, 10) for x in range(16, 310, 26) for y in range(10, 250, 24)]
    assert len(many) > MOST_WORDS
    assert len(find_boxes(*maps(*many))) == MOST_WORDS
