"""Traces as spans of OpenTelemetry, exported over OTLP/HTTP: the mode `opentelemetry` of `--trace-config`.

Imported only in that mode: what it stands on is an extra. Spans are Triton's: InferRequest for what the face does, in it
one by the model's name, and in that one `compute`; each has the times of its events. Made once the request is answered,
they wait in a bounded queue for a thread that exports them; where nobody takes them the newest are dropped.
"""

import threading
import time
from itertools import count
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tis.contracts import messages as m
from tis_frontend.trace import Headers

_SERVICE: Final = "triton-inference-server"
_SCOPE: Final = "triton-server"
#: How long the end of the process waits for the last spans to leave.
_FLUSH_DEADLINE_S: Final = 3.0
_CONTEXT_HEADERS: Final = ("traceparent", "tracestate")
_MODEL_EVENTS: Final = ("REQUEST_START", "QUEUE_START", "REQUEST_END")
_COMPUTE_EVENTS: Final = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")

_Events = dict[str, int]


class Spans:
    """The exporter of one frontend."""

    def __init__(self, settings: tuple[tuple[str, str], ...]) -> None:
        given = dict(settings)
        attributes = {SERVICE_NAME: _SERVICE}
        for setting, value in settings:
            if setting == "resource":
                key, _, text = value.partition("=")
                attributes[key] = text
        # Without a url it is the environment's or http://localhost:4318/v1/traces.
        exporter = OTLPSpanExporter(endpoint=given.get("url"))
        processor = BatchSpanProcessor(
            exporter,
            max_queue_size=int(given["bsp_max_queue_size"]),
            schedule_delay_millis=int(given["bsp_schedule_delay"]),
            max_export_batch_size=int(given["bsp_max_export_batch_size"]),
        )
        # What is to be traced has been decided when spans are made, whatever a client says of its own.
        self._provider = TracerProvider(ALWAYS_ON, Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_SCOPE)
        self._propagator = TraceContextTextMapPropagator()
        #: Numbers of traces, as Triton has them beside the ids; each frontend counts for itself.
        self._numbers = count(1)

    def parent(self, headers: Headers) -> Context | None:
        """The span of the client that a request belongs to, from its headers `traceparent` and `tracestate`."""
        carrier = {}
        for name, value in headers:
            text = (name.decode("latin-1") if isinstance(name, bytes) else name).lower()
            if text in _CONTEXT_HEADERS:
                carrier[text] = value.decode("latin-1") if isinstance(value, bytes) else value
        if not carrier:
            return None
        context = self._propagator.extract(carrier, Context())
        return context if get_current_span(context).get_span_context().is_valid else None

    def add(self, trace: m.Trace, parent: Context | None) -> None:
        """Export a finished trace, in the background."""
        times = dict(trace.arrival) | dict(trace.events)
        if not times:
            # Spans tell times, and the settings ask for none.
            return
        wall_ns = time.time_ns() - time.monotonic_ns()
        events = {name: ns + wall_ns for name, ns in times.items()}
        # An empty context, so that no span of this process comes in between.
        root = self._begin("InferRequest", events["REQUEST_START"], parent or Context())
        model = self._begin(trace.model, events["REQUEST_START"], set_span_in_context(root))
        model.set_attribute("triton.model_name", trace.model)
        model.set_attribute("triton.model_version", trace.version)
        model.set_attribute("triton.trace_id", next(self._numbers))
        model.set_attribute("triton.trace_parent_id", 0)
        if trace.client_id:
            model.set_attribute("triton.request_id", trace.client_id)
        if "COMPUTE_START" in events:
            compute = self._begin("compute", events["COMPUTE_START"], set_span_in_context(model))
            _end(compute, events, _COMPUTE_EVENTS)
        _end(model, events, _MODEL_EVENTS, at_least_ns=events.get("COMPUTE_END", 0))
        others = tuple(name for name in events if name not in _COMPUTE_EVENTS + _MODEL_EVENTS)
        _end(root, events, others, at_least_ns=max(events.values()))

    def _begin(self, name: str, start_ns: int, context: Context) -> Span:
        return self._tracer.start_span(name, context, SpanKind.SERVER, start_time=start_ns)

    def close(self) -> None:
        """Export what waits, as far as somebody takes it within a moment."""
        # A collector that does not answer would hold up the end for as long as a call may take.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_FLUSH_DEADLINE_S)


def _end(span: Span, events: _Events, names: tuple[str, ...], at_least_ns: int = 0) -> None:
    """Give a span its events and end it with the last of them."""
    for name in names:
        span.add_event(name, timestamp=events[name])
    span.end(max(at_least_ns, *(events[name] for name in names)))
