"""The last step: words out of what `text_recognition` answers."""

import numpy as np
import triton_python_backend_utils as pb_utils
from ctc_words import decode


class TritonPythonModel:
    """Any number of words to a request."""

    def execute(self, requests: list) -> list:
        """Answer each request with its words."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: object) -> object:
        logits = pb_utils.get_input_tensor_by_name(request, "recognition_postprocessing_input").as_numpy()
        words = np.array([[word.encode()] for word in decode(logits)], np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("recognition_postprocessing_output", words)])
