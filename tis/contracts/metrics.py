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

#: The kinds of the server's own families by name: one of a model may join them, but not with another kind.
BUILT_IN_KINDS: Final = {
    **dict.fromkeys(
        (
            "nv_cache_num_hits_per_model",
            "nv_cache_hit_duration_per_model",
            "nv_cache_num_misses_per_model",
            "nv_cache_miss_duration_per_model",
            "nv_energy_consumption",
            "nv_inference_request_success",
            "nv_inference_request_failure",
            "nv_inference_count",
            "nv_inference_exec_count",
            "nv_inference_request_duration_us",
            "nv_inference_queue_duration_us",
            "nv_inference_compute_input_duration_us",
            "nv_inference_compute_infer_duration_us",
            "nv_inference_compute_output_duration_us",
            "tis_process_restarts",
            "tis_late_answers",
        ),
        "counter",
    ),
    **dict.fromkeys(
        (
            "nv_cache_util",
            "nv_cache_num_entries",
            "nv_cache_num_hits",
            "nv_cache_num_misses",
            "nv_cache_num_lookups",
            "nv_cache_num_evictions",
            "nv_cache_lookup_duration",
            "nv_cache_insertion_duration",
            "nv_pinned_memory_pool_total_bytes",
            "nv_pinned_memory_pool_used_bytes",
            "nv_gpu_utilization",
            "nv_gpu_memory_total_bytes",
            "nv_gpu_memory_used_bytes",
            "nv_gpu_power_usage",
            "nv_gpu_power_limit",
            "nv_cpu_utilization",
            "nv_cpu_memory_total_bytes",
            "nv_cpu_memory_used_bytes",
            "nv_inference_pending_request_count",
            "nv_model_load_duration_secs",
            "tis_pool_bytes",
            "tis_pool_granted_bytes",
            "tis_pool_used_bytes",
        ),
        "gauge",
    ),
    **dict.fromkeys(
        (
            "nv_cache_hit_summary_per_model",
            "nv_cache_miss_summary_per_model",
            "nv_inference_request_summary_us",
            "nv_inference_queue_summary_us",
            "nv_inference_compute_input_summary_us",
            "nv_inference_compute_infer_summary_us",
            "nv_inference_compute_output_summary_us",
        ),
        "summary",
    ),
    FIRST_RESPONSE_FAMILY: "histogram",
}
