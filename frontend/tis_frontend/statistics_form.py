"""Statistics of models as JSON and MessagePack have them, in KServe's terms."""

from typing import Any

from tis.contracts import messages as m


def statistics_form(model: m.ModelStatistics) -> dict[str, Any]:
    """One model version."""
    return {
        "name": model.name,
        "version": str(model.version),
        "last_inference": model.last_inference_ms,
        "inference_count": model.inference_count,
        "execution_count": model.execution_count,
        "inference_stats": {
            "success": _duration(model.success),
            "fail": _duration(model.fail),
            "queue": _duration(model.queue),
            "compute_input": _duration(model.compute_input),
            "compute_infer": _duration(model.compute_infer),
            "compute_output": _duration(model.compute_output),
            "cache_hit": _duration(model.cache_hit),
            "cache_miss": _duration(model.cache_miss),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": batch.batch_size,
                "compute_input": _duration(batch.compute_input),
                "compute_infer": _duration(batch.compute_infer),
                "compute_output": _duration(batch.compute_output),
            }
            for batch in model.batches
        ],
        "memory_usage": [],
    }


def _duration(duration: m.Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
