"""The three ways to read the words on a picture: as an ensemble, as a model that asks others (BLS), step by step here.

All give the same words. Only NVIDIA's client package, numpy and Pillow are needed; which server answers does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tritonclient.http as httpclient
from tritonclient.utils import np_to_triton_dtype

from model_repository.detection_postprocessing.text_boxes import find_boxes
from model_repository.detection_postprocessing.text_crops import crop_words
from model_repository.detection_preprocessing.text_pictures import decode_picture, prepare_picture
from model_repository.recognition_postprocessing.ctc_words import decode

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """A word on a picture, and the corners of its box, float32 [4, 2]: x and y in pixels, from top left with the clock."""

    text: str
    corners: Floats


Way = Callable[[httpclient.InferenceServerClient, bytes], list[Found]]


def read_by_ensemble(client: httpclient.InferenceServerClient, data: bytes) -> list[Found]:
    """The words on a picture file's picture, in the order of reading; the server does all steps.

    Raises:
        InferenceServerException: the server gave no answer, or this is no picture.
    """
    return _read_by("ensemble_model", client, data)


def read_by_bls(client: httpclient.InferenceServerClient, data: bytes) -> list[Found]:
    """The same by the model that asks the other models itself."""
    return _read_by("ocr_bls", client, data)


def read_in_client(client: httpclient.InferenceServerClient, data: bytes) -> list[Found]:
    """The same with only the two networks on the server and all other steps here.

    Raises:
        ValueError: this is no picture.
        InferenceServerException: the server gave no answer.
    """
    picture, scale = prepare_picture(decode_picture(data))
    maps = client.infer("text_detection", [_input("input_images:0", picture[np.newaxis])])
    scores, geometry = maps.as_numpy("feature_fusion/Conv_7/Sigmoid:0"), maps.as_numpy("feature_fusion/concat_3:0")
    boxes = find_boxes(scores[0], geometry[0])
    if not len(boxes):
        return []
    answer = client.infer("text_recognition", [_input("input", crop_words(picture, boxes))])
    return _found(decode(answer.as_numpy("logits")), (boxes / np.float32(scale)).astype(np.float32))


#: By the names that the command line knows them by.
WAYS: Final[dict[str, Way]] = {"ensemble": read_by_ensemble, "bls": read_by_bls, "client": read_in_client}


def _read_by(model: str, client: httpclient.InferenceServerClient, data: bytes) -> list[Found]:
    file = np.frombuffer(data, np.uint8)[np.newaxis]
    answer = client.infer(model, [_input("input_image", file)])
    words = [word.decode() for word in answer.as_numpy("recognized_text").reshape(-1)]
    return _found(words, answer.as_numpy("text_boxes"))


def _found(words: list[str], boxes: Floats) -> list[Found]:
    """Words with their boxes; those on which nothing can be read are left out."""
    return [Found(word, box) for word, box in zip(words, boxes, strict=True) if word]


def _input(name: str, array: npt.NDArray[Any]) -> httpclient.InferInput:
    """An array as the input of a request."""
    tensor = httpclient.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor
