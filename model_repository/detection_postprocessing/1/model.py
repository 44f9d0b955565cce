"""The third step: a box around each word from the maps of `text_detection`, and the words cut out along them."""

import numpy as np
import triton_python_backend_utils as pb_utils
from text_boxes import find_boxes
from text_crops import HEIGHT, WIDTH, crop_words


class TritonPythonModel:
    """One picture to a request; the words on it are the batch of the answer."""

    def execute(self, requests: list) -> list:
        """Answer each request with its words' pictures and boxes.

        The next step takes no empty batch, in Triton either. So a picture without words gives one grey crop, on which
        nothing can be read, with a box of no size.
        """
        return [self._answer(request) for request in requests]

    def _answer(self, request: object) -> object:
        scores, geometry, picture, scale = (
            pb_utils.get_input_tensor_by_name(request, f"detection_postprocessing_input_{number}").as_numpy()[0]
            for number in (1, 2, 3, 4)
        )
        boxes = find_boxes(scores, geometry)
        crops = crop_words(picture, boxes)
        if not len(boxes):
            boxes = np.zeros((1, 4, 2), np.float32)
            crops = np.zeros((1, 1, HEIGHT, WIDTH), np.float32)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("detection_postprocessing_output", crops),
                pb_utils.Tensor("detection_postprocessing_boxes", (boxes / scale[0]).astype(np.float32)),
            ]
        )
