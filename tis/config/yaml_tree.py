"""YAML as a tree that knows its lines. PyYAML is an extra: it is imported when the first YAML config is read."""

from typing import Any, Final

from tis.config.tree import DEEPEST, MOST_VALUES, Block, Entry, Kind, Many, Scalar, TreeError, Value

MISSING: Final = (
    "YAML configs need a package that is not installed: the extra `yaml`, as in pip install 'tis[yaml]'; "
    "config.pbtxt and config.json need none"
)
_TAG: Final = "tag:yaml.org,2002:"
_NON_FINITE: Final = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}


def yaml_tree(text: str) -> Block:
    """The tree of a YAML document that is a mapping.

    Raises:
        TreeError: the text is no YAML, no mapping or nested too deeply, or the package is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise TreeError(MISSING, 0, 0) from None
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:
        raise TreeError(" ".join(str(error).split()), 1, 1) from None
    try:
        return _Reader(loader).document(loader.get_single_node())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise TreeError(message, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise TreeError(" ".join(str(error).split()), 1, 1) from None
    finally:
        loader.dispose()


class _Reader:
    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._values = 0

    def document(self, node: Any) -> Block:
        if node is None:
            return Block((), 1, 1)
        tree = self._value(node, 0)
        if not isinstance(tree, Block):
            raise TreeError("expected a mapping of fields", 1, 1)
        return tree

    def _value(self, node: Any, depth: int) -> Value:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self._values += 1
        if depth > DEEPEST or self._values > MOST_VALUES:
            raise TreeError(f"expected no more than {DEEPEST} levels and {MOST_VALUES} values", line, column)
        if node.id == "mapping":
            return Block(tuple(self._entry(key, value, depth) for key, value in node.value), line, column)
        if node.id == "sequence":
            return Many(tuple(self._value(item, depth + 1) for item in node.value), line, column)
        return self._scalar(node, line, column)

    def _entry(self, key: Any, value: Any, depth: int) -> Entry:
        line, column = key.start_mark.line + 1, key.start_mark.column + 1
        if key.id != "scalar":
            raise TreeError("expected the name of a field", line, column)
        return Entry(key.value, self._value(value, depth + 1), line, column)

    def _scalar(self, node: Any, line: int, column: int) -> Scalar:
        kind = {"null": Kind.NULL, "bool": Kind.BOOL, "int": Kind.NUMBER, "float": Kind.NUMBER}.get(
            node.tag.removeprefix(_TAG), Kind.STRING
        )
        if kind is Kind.STRING:
            return Scalar(kind, node.value, node.value, line, column)
        value = self._loader.construct_object(node)
        if isinstance(value, float):
            # JSON has no such numbers; protobuf's JSON form has words for them.
            value = _NON_FINITE.get(str(value), value)
        return Scalar(kind, node.value, value, line, column)
