"""The first step: decodes a picture file and brings it to a size that `text_detection` takes."""

import numpy as np
import triton_python_backend_utils as pb_utils
from text_pictures import decode_picture, prepare_picture


class TritonPythonModel:
    """One picture to a request."""

    def execute(self, requests: list) -> list:
        """Answer each request with its picture's pixels, or with what is wrong with it."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: object) -> object:
        data = pb_utils.get_input_tensor_by_name(request, "detection_preprocessing_input").as_numpy()
        try:
            picture, scale = prepare_picture(decode_picture(data.tobytes()))
        except ValueError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG))
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("detection_preprocessing_output", picture[np.newaxis]),
                pb_utils.Tensor("detection_preprocessing_scale", np.array([[scale]], np.float32)),
            ]
        )
