"""The words on a picture: the example models as an ensemble, as a model that asks others, and step by step in a client."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from PIL import Image
from tritonclient.utils import InferenceServerException

from tests.harness.server import Server
from tools.ocr.reading import WAYS, Found

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tools" / "ocr" / "sample.jpg"
WORDS = ["harbor", "museum", "coffee", "library", "lighthouse"]


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the example models that read words."""
    folder = tmp_path_factory.mktemp("ocr")
    ignored = shutil.ignore_patterns("__pycache__", "simple")
    shutil.copytree(ROOT / "model_repository", folder / "models", ignore=ignored)
    server = Server(folder / "models", log=folder / "log")
    try:
        server.start().wait_ready()
        yield server
        assert server.stop() == 0
    finally:
        server.close()


@pytest.fixture
def client(reading: Server) -> Iterator[httpclient.InferenceServerClient]:
    with httpclient.InferenceServerClient(reading.http_address) as client:
        yield client


def file_of(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def sample() -> Image.Image:
    with Image.open(SAMPLE) as picture:
        return picture.convert("RGB")


def wide() -> Image.Image:
    """The sample in a picture that is made smaller before anything is looked for, 900 pixels from its left."""
    picture = Image.new("RGB", (1500, 360), (120, 150, 180))
    picture.paste(sample(), (900, 0))
    return picture


def pictures() -> dict[str, bytes]:
    """The sample in several ways, and a picture without words."""
    return {
        "as it is": SAMPLE.read_bytes(),
        "upper half": file_of(sample().crop((100, 0, 400, 200))),
        "larger": file_of(sample().resize((720, 540), Image.Resampling.BICUBIC)),
        "turned": file_of(sample().rotate(4, Image.Resampling.BICUBIC, expand=True)),
        "beyond the longest side": file_of(wide()),
        "no words": file_of(Image.new("RGB", (200, 100), (90, 140, 200))),
    }


def texts(found: list[Found]) -> list[str]:
    return [each.text for each in found]


@pytest.mark.parametrize("way", list(WAYS))
def test_the_words_of_the_sample_are_read_line_by_line(client: httpclient.InferenceServerClient, way: str) -> None:
    found = WAYS[way](client, SAMPLE.read_bytes())
    assert texts(found) == WORDS
    # Each box is around its board's middle, as make_sample.py has drawn them.
    middles = [each.corners.mean(axis=0) for each in found]
    np.testing.assert_allclose(middles, [(210, 68), (268, 126), (196, 178), (284, 226), (214, 280)], atol=8)


@pytest.mark.parametrize("name", list(pictures()))
def test_all_ways_give_the_same_words_at_the_same_places(client: httpclient.InferenceServerClient, name: str) -> None:
    data = pictures()[name]
    first, *others = (way(client, data) for way in WAYS.values())
    assert bool(first) == (name != "no words")
    for other in others:
        assert texts(other) == texts(first)
        for one, two in zip(first, other, strict=True):
            np.testing.assert_allclose(one.corners, two.corners, atol=0.5)


def test_places_of_a_large_picture_are_in_its_own_pixels(client: httpclient.InferenceServerClient) -> None:
    found = WAYS["ensemble"](client, pictures()["beyond the longest side"])
    places = {each.text: each.corners.mean(axis=0) for each in found}
    np.testing.assert_allclose(places["museum"], np.array([900 + 268, 126]), atol=10)


def test_the_tutorials_client_gets_its_text(reading: Server) -> None:
    data = np.fromfile(SAMPLE, dtype="uint8")[np.newaxis]
    with grpcclient.InferenceServerClient(reading.grpc_address) as client:
        picture = grpcclient.InferInput("input_image", data.shape, "UINT8")
        picture.set_data_from_numpy(data)
        answer = client.infer(model_name="ensemble_model", inputs=[picture])
    assert answer.as_numpy("recognized_text").astype(str).reshape(-1).tolist() == WORDS


@pytest.mark.parametrize("model", ["ensemble_model", "ocr_bls"])
@pytest.mark.parametrize("data", [b"no picture", SAMPLE.read_bytes()[:500]])
def test_what_is_no_picture_is_refused_in_words(
    client: httpclient.InferenceServerClient, model: str, data: bytes
) -> None:
    picture = httpclient.InferInput("input_image", [1, len(data)], "UINT8")
    picture.set_data_from_numpy(np.frombuffer(data, np.uint8)[np.newaxis])
    with pytest.raises(InferenceServerException, match="the picture"):
        client.infer(model, [picture])
