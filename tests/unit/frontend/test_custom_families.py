"""Families of models are written as the server's own, and join those of the same name."""

import importlib
from typing import Any

from tis.contracts import messages as m
from tis.contracts.metrics import BUILT_IN_KINDS
from tis_frontend.metrics.custom import with_custom
from tis_frontend.metrics.exposition import Family

OWN = [
    "# HELP nv_a One",
    "# TYPE nv_a counter",
    'nv_a{model="m"} 1',
    "# HELP nv_b Two",
    "# TYPE nv_b gauge",
    "nv_b 2",
]


def family(name: str, kind: str, *samples: m.CustomSample, text: str = "mine") -> m.CustomFamily:
    return m.CustomFamily(name, text, kind, samples)


def test_a_family_stands_behind_the_servers_own() -> None:
    lines = with_custom(list(OWN), [family("x", "gauge", m.CustomSample({"b": 'q"', "a": "1"}, 0.1))])
    assert lines == [*OWN, "# HELP x mine", "# TYPE x gauge", 'x{a="1",b="q\\""} 0.1']


def test_a_family_of_the_servers_is_joined() -> None:
    lines = with_custom(list(OWN), [family("nv_a", "counter", m.CustomSample({"mine": "1"}, 5))])
    assert lines == [*OWN[:3], 'nv_a{mine="1"} 5', *OWN[3:]]


def test_a_family_without_metrics_is_not_shown() -> None:
    assert with_custom(list(OWN), [family("x", "gauge"), family("nv_a", "counter")]) == OWN


def test_an_explanation_stays_on_its_line() -> None:
    lines = with_custom([], [family("x", "gauge", m.CustomSample({}, 0), text="a\nb\\c")])
    assert lines[0] == "# HELP x a\\nb\\\\c"


def test_a_histogram_is_cumulated_and_ends_in_infinity_once() -> None:
    sample = m.CustomSample({"a": "1"}, float("nan"), (2, 1, 2, 1), (0.1, 2.5, float("inf")))
    assert with_custom([], [family("h", "histogram", sample)])[2:] == [
        'h_count{a="1"} 6',
        'h_sum{a="1"} Nan',
        'h_bucket{a="1",le="0.1"} 2',
        'h_bucket{a="1",le="2.5"} 3',
        'h_bucket{a="1",le="+Inf"} 6',
    ]


def test_the_kinds_of_the_servers_own_families_are_known_to_the_supervisor() -> None:
    found: dict[str, str] = {}

    def look(value: Any) -> None:
        if isinstance(value, Family):
            found[value.name] = value.kind
        elif isinstance(value, tuple | list):
            for each in value:
                look(each)
        elif isinstance(value, dict):
            for each in (*value, *value.values()):
                look(each)

    for name in ("cache", "gpus", "machine", "models"):
        for value in vars(importlib.import_module(f"tis_frontend.metrics.{name}")).values():
            look(value)
    assert found == BUILT_IN_KINDS
