"""Where each field of a config stands, in every form, and what does not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tis.config.fit import Fit, fit
from tis.config.json_tree import json_tree
from tis.config.pbtxt_tree import pbtxt_tree
from tis.config.source import parse_text
from tis.config.tree import TreeError
from tis.config.yaml_tree import yaml_tree
from tis.errors import TisError

PBTXT = """
# the model
max_batch_size : 8
input [
  { name: "A" dims: [ 1, -1 ] },  # a comment { of braces
  { name: 'B"{' 'more' dims: 1; dims: 2 }
]
input < name: "C" >
parameters { key: "x.y" value { string_value: "1" } }
optimization { cuda { graph_spec { input { key: "I" value { dim: [ 4 ] } } } } }
"""
JSON = """{
  "max_batch_size": 8,
  "input": [
    {"name": "A", "dims": [1,
      -1]},
    {"name": "B\\"{"}
  ],
  "parameters": {"x.y": {"string_value": "1"}}
}"""
YAML = """
max_batch_size: 8
input:
- name: A
  dims: [1,
    -1]
- {name: B}
parameters:
  x.y: {string_value: "1"}
"""

#: Each line has the one before it twice, which makes 2 to the power of 40 values.
ALIASES = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 41))


def lines(found: Fit) -> dict[str, int]:
    return {path: mark.line for path, mark in found.marks.items()}


def test_fields_of_protobuf_text_are_found_with_their_lines() -> None:
    found = fit(pbtxt_tree(PBTXT), pbtxt=True)
    assert not found.misfits
    expected = {
        "max_batch_size": 3,
        "input": 4,
        "input[0]": 5,
        "input[0].dims[1]": 5,
        "input[1].name": 6,
        "input[1].dims[1]": 6,
        "input[2].name": 8,
        'parameters["x.y"]': 9,
        'parameters["x.y"].string_value': 9,
        'optimization.cuda.graph_spec[0].input["I"].dim[0]': 10,
    }
    assert expected.items() <= lines(found).items()
    assert (found.marks["max_batch_size"].column, found.marks["max_batch_size"].text) == (1, "8")
    assert found.marks["input[0].dims[1]"].text == "-1"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            fit(json_tree(JSON), pbtxt=False),
            {"max_batch_size": 2, "input[0].dims[1]": 5, "input[1].name": 6, 'parameters["x.y"].string_value': 8},
        ),
        (
            fit(yaml_tree(YAML), pbtxt=False),
            {"max_batch_size": 2, "input[0].dims[1]": 6, "input[1].name": 7, 'parameters["x.y"].string_value': 9},
        ),
    ],
)
def test_fields_of_json_and_yaml_are_found_with_their_lines(found: Fit, expected: dict[str, int]) -> None:
    assert not found.misfits
    assert expected.items() <= lines(found).items()


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("max_batchsize: 1", "max_batchsize", "did you mean 'max_batch_size'?"),
        ("input { nmae: 'A' }", "input[0].nmae", "'input[0]' has no field 'nmae'; did you mean 'name'?"),
        ("input { shape: 1 }", "input[0].shape", "it belongs to 'input[0].reshape'"),
        ("preferred_batch_size: 1", "preferred_batch_size", "it belongs to 'dynamic_batching'"),
        ("qqqq: 1", "qqqq", "a config has no field 'qqqq'"),
        ("max_batch_size: many", "max_batch_size", "expects a whole number from -2147483648 to 2147483647; got many"),
        ("max_batch_size: 3000000000", "max_batch_size", "got 3000000000"),
        ("max_batch_size: [ 1 ]", "max_batch_size", "is no list"),
        ("max_batch_size: 1 max_batch_size: 2", "max_batch_size", "is given twice"),
        ("name: m", "name", "expects a text in quotes; got m"),
        ("input { optional: 'x' }", "input[0].optional", "expects true or false"),
        ("input { data_type: TYPE_FLOAT32 }", "input[0].data_type", "did you mean 'TYPE_FP32'?"),
        ("input: 3", "input[0]", "has parts; got 3"),
        ("dynamic_batching { } sequence_batching { }", "sequence_batching", "cannot stand beside 'dynamic_batching'"),
        ("version_policy { latest { num_versions: -1 } }", "version_policy.latest.num_versions", "got -1"),
    ],
)
def test_what_does_not_fit_is_told_with_its_field_and_its_kin(text: str, path: str, words: str) -> None:
    (misfit,) = fit(pbtxt_tree(text), pbtxt=True).misfits
    assert misfit.path == path
    assert words in misfit.message
    with pytest.raises(TisError):
        parse_text(text, "p")


def test_all_misfits_are_told_at_once() -> None:
    found = fit(yaml_tree("a: 1\nmax_batch_size: x\ninput:\n- {dims: 3, nmae: 1}\noutput: {}\n"), pbtxt=False)
    assert [(each.path, each.line) for each in found.misfits] == [
        ("a", 1),
        ("max_batch_size", 2),
        ("input[0].dims", 4),
        ("input[0].nmae", 4),
        ("output", 5),
    ]


@given(st.text() | st.text(alphabet='{}[]<>:;,"\n -abdeimnptuxy01.#\\&*!|'))
def test_any_text_is_a_tree_or_refused(text: str) -> None:
    for tree, pbtxt in ((pbtxt_tree, True), (json_tree, False), (yaml_tree, False)):
        refusal = None
        try:
            fit(tree(text), pbtxt=pbtxt)
        except TreeError as error:
            refusal = error
        assert refusal is None or (refusal.line >= 1 and refusal.message)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (pbtxt_tree, "input { " * 10_000),
        (json_tree, '{"a": ' + "[" * 500 + "]" * 500 + "}"),
        (json_tree, '{"a": ' * 100_000),
        (yaml_tree, "a: " + "[" * 500 + "]" * 500),
        (yaml_tree, "a: &a [*a]"),
        (yaml_tree, ALIASES),
    ],
)
def test_deep_and_endless_trees_are_refused_not_a_crash(tree: object, text: str) -> None:
    with pytest.raises(TreeError):
        tree(text)  # type: ignore[operator] # any of the three
