"""`InferenceTrace`: what a model may hand on of its request's trace."""


class InferenceTrace:
    """The trace of a request, as `InferenceRequest.trace()` gives it."""

    __slots__ = ()

    def get_context(self) -> str | None:
        """The context for OpenTelemetry as JSON text; None where the request has none. Here it always is None."""
        return None
