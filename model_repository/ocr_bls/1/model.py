"""The steps of `ensemble_model` as a program: it asks one model after the other, which is called BLS."""

import triton_python_backend_utils as pb_utils


class StepError(Exception):
    """A model that was asked answered with an error, which is the argument."""


class TritonPythonModel:
    """One picture to a request."""

    def execute(self, requests: list) -> list:
        """Answer each request with its picture's words and their boxes, or with the error of the step that failed."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: object) -> object:
        picture = pb_utils.get_input_tensor_by_name(request, "input_image").as_numpy()
        try:
            pixels, scale = _ask(
                "detection_preprocessing",
                {"detection_preprocessing_input": pb_utils.Tensor("input_image", picture)},
                ["detection_preprocessing_output", "detection_preprocessing_scale"],
            )
            scores, geometry = _ask(
                "text_detection",
                {"input_images:0": pixels},
                ["feature_fusion/Conv_7/Sigmoid:0", "feature_fusion/concat_3:0"],
            )
            maps = {
                f"detection_postprocessing_input_{number}": tensor
                for number, tensor in enumerate((scores, geometry, pixels, scale), start=1)
            }
            crops, boxes = _ask(
                "detection_postprocessing",
                maps,
                ["detection_postprocessing_output", "detection_postprocessing_boxes"],
            )
            (logits,) = _ask("text_recognition", {"input": crops}, ["logits"])
            (words,) = _ask(
                "recognition_postprocessing",
                {"recognition_postprocessing_input": logits},
                ["recognition_postprocessing_output"],
            )
        except StepError as error:
            return pb_utils.InferenceResponse(error=error.args[0])
        return pb_utils.InferenceResponse([_renamed("recognized_text", words), _renamed("text_boxes", boxes)])


def _ask(model: str, inputs: dict, outputs: list) -> list:
    """Ask a model and wait for its answer.

    Raises:
        StepError: it answered with an error.
    """
    tensors = [_renamed(name, tensor) for name, tensor in inputs.items()]
    response = pb_utils.InferenceRequest(model_name=model, requested_output_names=outputs, inputs=tensors).exec()
    if response.has_error():
        raise StepError(response.error())
    return [pb_utils.get_output_tensor_by_name(response, name) for name in outputs]


def _renamed(name: str, tensor: object) -> object:
    """The same tensor under another name; numpy arrays are handed on as they are, without a copy."""
    return pb_utils.Tensor(name, tensor.as_numpy())
