"""Metrics that Python models make for themselves, as the metrics port shows them."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest

from tests.e2e.python_server import refused, said
from tests.harness.faces import Call, Face, HttpFace
from tests.harness.python_models import CODE, PythonModel
from tests.harness.scrape import scrape
from tests.harness.server import Server
from tests.harness.waiting import eventually

TWO_INSTANCES = PythonModel(
    """\
import os
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args):
        self.family = pb.MetricFamily("seen", "Requests seen", pb.MetricFamily.COUNTER)
        self.mine = self.family.Metric(labels={"instance": args["model_instance_name"]})
        self.all = self.family.Metric(labels={"instance": "all"})

    def execute(self, requests):
        for request in requests:
            self.mine.increment(1)
            self.all.increment(1)
        return [pb.InferenceResponse([pb.Tensor("OUT", np.array([self.all.value()], np.float64))]) for _ in requests]
""",
    'input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
    'output [ { name: "OUT" data_type: TYPE_FP64 dims: [ 1 ] } ]\n',
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("metrics")
    CODE.write(folder / "models", "code")
    CODE.write(folder / "models", "other")
    pair = TWO_INSTANCES.write(folder / "models", "pair") / "config.pbtxt"
    pair.write_text(pair.read_text().replace("count: 1", "count: 2"))
    flags = ("--metrics-port=0", "--model-control-mode=explicit", "--load-model=*", "--frontends=2")
    served = Server(folder / "models", *flags, log=folder / "log")
    try:
        served.start().wait_ready()
        yield served
        assert served.stop() == 0
    finally:
        served.close()


@pytest.fixture
def face(server: Server) -> Iterator[Face]:
    client = HttpFace(server)
    yield client
    client.close()


def shows(server: Server, name: str, value: float, **labels: str) -> None:
    def look() -> bool:
        samples = scrape(server).samples
        return samples.get((name, frozenset(labels.items()))) == value

    eventually(look, f"{name} is {value}")


def test_an_answered_request_is_counted(server: Server, face: Face) -> None:
    make = "self.f = pb.MetricFamily('served', 'Served', pb.MetricFamily.COUNTER); self.m = self.f.Metric({'a': 'b'})"
    said(face, f"{make}; out = [R(1)]")
    shows(server, "served", 0, a="b")
    said(face, "[self.m.increment(0.5) for _ in range(5)]; out = [R(1)]")
    shows(server, "served", 2.5, a="b")
    assert scrape(server).types["served"] == "counter"
    assert said(face, "out = [R(self.m.value())]") == "2.5"
    said(face, "del self.f; out = [R(1)]")
    eventually(lambda: "served" not in scrape(server).types, "the family has gone with its object")
    assert "The 'MetricFamily' object should be deleted AFTER" in refused(face, "self.m.increment(1)").text


def test_histograms_and_gauges(server: Server, face: Face) -> None:
    said(
        face,
        "self.h = pb.MetricFamily('spread', 'Spread', pb.MetricFamily.HISTOGRAM)\n"
        "h = self.h.Metric(buckets=[1, 10]); h.observe(0.5); h.observe(5); h.observe(50)\n"
        "self.g = pb.MetricFamily('level', 'L', pb.MetricFamily.GAUGE); g = self.g.Metric(); g.set(4); g.increment(-1.5)\n"
        "out = [R(1)]",
    )
    shows(server, "spread_bucket", 1, le="1")
    shows(server, "spread_bucket", 2, le="10")
    shows(server, "spread_bucket", 3, le="+Inf")
    shows(server, "spread_sum", 55.5)
    shows(server, "level", 2.5)


def test_models_share_a_family(server: Server, face: Face) -> None:
    make = (
        "self.s = pb.MetricFamily('shared', 'Shared', pb.MetricFamily.COUNTER); self.sm = self.s.Metric(labels={'x': 'y'}); "
        "self.sm.increment(%d); out = [R(self.sm.value())]"
    )
    assert said(face, make % 1) == "1.0"
    assert said(face, make % 2, "other") == "3.0"
    shows(server, "shared", 3, x="y")
    face.ask("unload_model", "other")
    shows(server, "shared", 3, x="y")
    face.ask("load_model", "other")


def test_a_metric_goes_with_its_model(server: Server, face: Face) -> None:
    make = "self.f = pb.MetricFamily('leaving', 'L', pb.MetricFamily.GAUGE); self.m = self.f.Metric(); out = [R(1)]"
    said(face, make, "other")
    shows(server, "leaving", 0)
    face.ask("unload_model", "other")
    eventually(lambda: "leaving" not in scrape(server).types, "its metrics have gone with the model")
    face.ask("load_model", "other")


def test_instances_count_into_one_metric(server: Server) -> None:
    asked = 40
    with contextlib.closing(HttpFace(server)) as client:
        seen = [
            float(client.infer(Call("pair", {"IN": np.zeros(1, np.float32)})).outputs["OUT"][0]) for _ in range(asked)
        ]
    assert sorted(seen) == [float(number) for number in range(1, asked + 1)]
    shows(server, "seen", asked, instance="all")
    apart = [value for (name, labels), value in scrape(server).samples.items() if name == "seen"]
    assert sum(apart) == 2 * asked


def test_a_thread_counts_between_requests(server: Server, face: Face) -> None:
    said(
        face,
        "self.t = pb.MetricFamily('ticks', 'T', pb.MetricFamily.COUNTER); m = self.t.Metric()\n"
        "threading.Thread(target=lambda: [m.increment(1) for _ in range(1000)]).start(); out = [R(1)]",
    )
    shows(server, "ticks", 1000)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "m.increment(-1)",
            "TRITONSERVER_METRIC_KIND_COUNTER can only be incremented monotonically by non-negative values.",
        ),
        ("m.set(1)", "TRITONSERVER_METRIC_KIND_COUNTER does not support Set"),
        ("m.observe(1)", "TRITONSERVER_METRIC_KIND_COUNTER does not support Observe"),
        ("f.Metric(buckets=[1])", "Failed to create metric. Unexpected buckets found."),
        ("f.Metric(labels=[1])", "Failed to create metric. Labels must be a dictionary."),
        ("f.Metric(labels={'a': 1})", "attempt to access JSON non-string as string"),
        ("f.Metric(labels={'a-b': 'x'})", "Invalid label name"),
        (
            "pb.MetricFamily('nv_inference_count', '', pb.MetricFamily.GAUGE)",
            "Family name already exists with different type",
        ),
        ("pb.MetricFamily('no name', '', pb.MetricFamily.GAUGE)", "Invalid metric name"),
    ],
)
def test_what_cannot_be_is_told_in_tritons_words(face: Face, code: str, text: str) -> None:
    make = "f = pb.MetricFamily('wrong', 'W', pb.MetricFamily.COUNTER); m = f.Metric(); "
    assert text in refused(face, f"{make}{code}").text
