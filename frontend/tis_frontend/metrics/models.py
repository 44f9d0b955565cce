"""The families that tell of models, with Triton's names and explanations."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final

from tis.contracts import messages as m
from tis.contracts.metrics import BACKEND, CANCELED, FAILURE_REASONS, FIRST_RESPONSE_FAMILY, OTHER, REJECTED
from tis.contracts.namespaces import identifier
from tis.settings import ServerSettings
from tis_frontend.metrics.exposition import Family, Sample, histogram_samples, labels, number, summary_samples

_SUCCESS: Final = Family(
    "nv_inference_request_success", "counter", "Number of successful inference requests, all batch sizes"
)
_FAILURE: Final = Family(
    "nv_inference_request_failure", "counter", "Number of failed inference requests, all batch sizes"
)
_COUNT: Final = Family(
    "nv_inference_count", "counter", "Number of inferences performed (does not include cached requests)"
)
_EXECUTIONS: Final = Family(
    "nv_inference_exec_count", "counter", "Number of model executions performed (does not include cached requests)"
)
#: In the order of `ModelMetrics.durations_us`.
_DURATIONS: Final = tuple(
    Family(f"nv_inference_{name}_duration_us", "counter", text)
    for name, text in (
        ("request", "Cumulative inference request duration in microseconds (includes cached requests)"),
        ("queue", "Cumulative inference queuing duration in microseconds (includes cached requests)"),
        ("compute_input", "Cumulative compute input duration in microseconds (does not include cached requests)"),
        ("compute_infer", "Cumulative compute inference duration in microseconds (does not include cached requests)"),
        (
            "compute_output",
            "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        ),
    )
)
_PENDING: Final = Family(
    "nv_inference_pending_request_count",
    "gauge",
    "Instantaneous number of pending requests awaiting execution per-model.",
)
_LOAD_TIME: Final = Family("nv_model_load_duration_secs", "gauge", "Model load time in seconds")
#: In the order of `ModelMetrics.summaries`; the explanations of the first two are Triton's, as are those of the rest.
_SUMMARIES: Final = tuple(
    Family(f"nv_inference_{name}_summary_us", "summary", text)
    for name, text in (
        ("request", "Summary of inference request duration in microseconds (includes cached requests)"),
        ("queue", "Summary of inference queuing duration in microseconds (includes cached requests)"),
        ("compute_input", _DURATIONS[2].help),
        ("compute_infer", _DURATIONS[3].help),
        ("compute_output", _DURATIONS[4].help),
    )
)
_FIRST_RESPONSE: Final = Family(
    FIRST_RESPONSE_FAMILY, "histogram", "Duration from request to first response in milliseconds"
)
#: The order in which Triton shows them differs from one start to the next; this is ours.
_SHOWN_REASONS: Final = (OTHER, CANCELED, REJECTED, BACKEND)


def model_labels(model: m.ModelMetrics) -> dict[str, str]:
    """The labels of a model version: name, namespace where there is one, version and the tags of its config."""
    namespace = {"namespace": model.namespace} if model.namespace else {}
    return {
        "model": model.name,
        **namespace,
        "version": str(model.version),
        **{f"_{tag}": text for tag, text in model.tags.items()},
    }


def counter_lines(
    models: Sequence[m.ModelMetrics], load_times: Sequence[tuple[str, int, float]], settings: ServerSettings
) -> Iterator[str]:
    """Counters and gauges."""
    known = [(model, labels(model_labels(model))) for model in models]

    def each(value: Callable[[m.ModelMetrics], float]) -> list[Sample]:
        return [("", written, value(model)) for model, written in known]

    yield from _SUCCESS.lines(each(lambda model: model.success))
    yield from _FAILURE.lines(chain.from_iterable(map(_failures, models)))
    yield from _COUNT.lines(each(lambda model: model.inference_count))
    yield from _EXECUTIONS.lines(each(lambda model: model.execution_count))
    if settings.metrics_counters:
        for position, family in enumerate(_DURATIONS):
            yield from family.lines([("", written, model.durations_us[position]) for model, written in known])
    yield from _PENDING.lines(each(lambda model: model.pending))
    took_s = {(name, version): seconds for name, version, seconds in load_times}
    yield from _LOAD_TIME.lines(
        ("", written, took_s[key])
        for model, written in known
        if (key := (identifier(model.namespace, model.name), model.version)) in took_s
    )


def distribution_lines(models: Sequence[m.ModelMetrics], settings: ServerSettings) -> Iterator[str]:
    """Summaries and histograms, where the operator asked for them."""
    quantiles = [number(quantile) for quantile in settings.metrics_quantiles]
    for position, family in enumerate(_SUMMARIES):
        yield from family.lines(
            chain.from_iterable(
                summary_of(model, model.summaries[position], quantiles) for model in models if model.summaries
            )
        )
    yield from _FIRST_RESPONSE.lines(
        chain.from_iterable(
            histogram_samples(
                model_labels(model), model.first_response_bounds_ms, model.first_responses, model.first_responses_ms
            )
            for model in models
            if model.first_responses
        )
    )


def _failures(model: m.ModelMetrics) -> list[Sample]:
    counts = dict(zip(FAILURE_REASONS, model.failures, strict=True))
    return [("", labels({**model_labels(model), "reason": reason}), counts[reason]) for reason in _SHOWN_REASONS]


def summary_of(model: m.ModelMetrics, summary: m.Summary, quantiles: Sequence[str]) -> list[Sample]:
    """The samples of a model's summary."""
    values = summary.values or (float("nan"),) * len(quantiles)
    by_quantile = dict(zip(quantiles, values, strict=True))
    return summary_samples(model_labels(model), summary.count, summary.total_us, by_quantile)
