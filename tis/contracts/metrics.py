"""Words about metrics that the scheduler and the frontends share."""

from typing import Final

#: Why a request failed, by Triton's words and in the order in which the counters travel.
REJECTED: Final = "REJECTED"
CANCELED: Final = "CANCELED"
BACKEND: Final = "BACKEND"
OTHER: Final = "OTHER"
FAILURE_REASONS: Final = (REJECTED, CANCELED, BACKEND, OTHER)

#: The family whose buckets a model's config may choose, and Triton's buckets in milliseconds.
FIRST_RESPONSE_FAMILY: Final = "nv_inference_first_response_histogram_ms"
FIRST_RESPONSE_BUCKETS_MS: Final = (100.0, 500.0, 2000.0, 5000.0)
