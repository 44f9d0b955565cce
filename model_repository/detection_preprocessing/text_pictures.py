"""From the bytes of a picture file to what the text detection takes. Only numpy and Pillow are needed."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

#: The text detection takes widths and heights that are multiples of this.
MULTIPLE = 32
#: Larger pictures are made smaller, so that the time for one has a bound.
LONGEST = 1280

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def decode_picture(data: bytes) -> Bytes:
    """The pixels of a picture file: uint8 [height, width, 3], red, green, blue. Transparent parts count as white paper.

    Raises:
        ValueError: this is no picture, or one that is broken or too large.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture: Image.Image = opened
            if "A" in picture.getbands() or "transparency" in picture.info:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except UnidentifiedImageError:
        raise ValueError("the picture is in no format that Pillow reads") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow says SyntaxError of some broken files.
        raise ValueError(f"the picture cannot be decoded: {error}") from error


def prepare_picture(pixels: Bytes) -> tuple[Floats, float]:
    """Bring a picture to a size that the text detection takes, filling up to the right and below with its last pixels.

    Returns:
        float32 [height, width, 3] from 0 to 255, and by how much the picture was made smaller: 1.0 for not at all, 0.5
        for half of its width and height.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR), dtype=np.uint8)
        height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)), mode="edge")
    return padded.astype(np.float32), scale
