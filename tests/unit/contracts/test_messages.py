"""Messages: every one of them survives the wire, nothing but a list of known messages is accepted."""

import types
import typing
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tis.contracts import messages as m

KINDS: tuple[type[m.Message], ...] = get_args(m.AnyMessage)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: INTEGERS,
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=12),
    bytes: st.binary(max_size=12),
    type(None): st.none(),
    msgspec.Raw: st.one_of(st.none(), st.binary(max_size=12), st.lists(INTEGERS, max_size=3)).map(
        lambda value: msgspec.Raw(msgspec.msgpack.encode(value))
    ),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    if origin is tuple and arguments[-1] is ...:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    assert issubclass(hint, msgspec.Struct), hint
    return st.builds(hint, **{field.name: values(field.type) for field in msgspec.structs.fields(hint)})


def test_the_set_is_closed_and_every_tag_is_used_once() -> None:
    tagged = {
        kind
        for kind in vars(m).values()
        if isinstance(kind, type) and issubclass(kind, m.Message) and kind.__struct_config__.tag is not None
    }
    assert tagged == set(KINDS)
    tags = [kind.__struct_config__.tag for kind in KINDS]
    assert len(set(tags)) == len(tags)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_message_comes_back_as_it_went(kind: type[m.Message]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(values(kind), min_size=1, max_size=3))
    def goes_and_comes(sent: list[m.Message]) -> None:
        received = m.decode(m.encode(sent))
        assert received == sent
        assert [type(message) for message in received] == [kind] * len(sent)

    goes_and_comes()


@given(st.lists(st.sampled_from(KINDS).flatmap(values), max_size=6))
def test_a_packet_keeps_the_order_of_its_messages(sent: list[Any]) -> None:
    assert m.decode(m.encode(sent)) == sent


@given(st.binary(max_size=200))
def test_random_bytes_raise_a_decode_error_and_nothing_else(packet: bytes) -> None:
    try:
        received = m.decode(packet)
    except msgspec.DecodeError:
        return
    assert all(isinstance(message, KINDS) for message in received)


@given(st.sampled_from(KINDS).flatmap(values), st.data())
def test_a_damaged_packet_raises_a_decode_error_or_is_another_valid_one(
    message: m.Message, data: st.DataObject
) -> None:
    packet = bytearray(m.encode([message]))
    at = data.draw(st.integers(0, len(packet) - 1))
    packet[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(packet)))
    for damaged in (bytes(packet), bytes(packet[:end])):
        try:
            received = m.decode(damaged)
        except msgspec.DecodeError:
            continue
        assert all(isinstance(each, KINDS) for each in received)


@pytest.mark.parametrize("value", [{}, 1, None, [[99, 1]], [[1]], [[2, "x", 3]], ["Stop"], [[38], 5]])
def test_what_is_no_list_of_known_messages_is_refused(value: Any) -> None:
    with pytest.raises(msgspec.DecodeError):
        m.decode(msgspec.msgpack.encode(value))


@given(values(m.WorkBody))
def test_the_body_reaches_the_worker_byte_for_byte_through_infer_and_batch(body: m.WorkBody) -> None:
    raw = m.encode_body(body)
    [infer] = m.decode(m.encode([m.Infer(1, 2, "m", 3, 4, b"key", 5, raw)]))
    assert isinstance(infer, m.Infer)
    [batch] = m.decode(m.encode([m.Batch(3, 6, (m.BatchItem(1, 2, 4, infer.body), m.BatchItem(7, 2, 4, infer.body)))]))
    assert isinstance(batch, m.Batch)
    for item in batch.items:
        assert bytes(item.body) == bytes(raw)
        assert m.decode_body(item.body) == body


@given(st.binary(max_size=100))
def test_a_random_body_raises_a_decode_error_and_nothing_else(body: bytes) -> None:
    try:
        decoded = m.decode_body(msgspec.Raw(body))
    except msgspec.DecodeError:
        return
    assert isinstance(decoded, m.WorkBody)
