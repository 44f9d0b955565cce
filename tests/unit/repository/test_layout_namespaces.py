"""Repositories as namespaces: what lies in them is found by identifiers, and nothing is a duplicate."""

from pathlib import Path

import pytest

from tis.errors import Code, TisError
from tis.repository.layout import find, identifiers, scan
from tis.repository.watch import Watch


@pytest.fixture
def roots(tmp_path: Path) -> list[str]:
    for directory in ("x/both/1", "x/one/1", "y/both/1"):
        (tmp_path / directory).mkdir(parents=True)
    return [f"{tmp_path}/x/", str(tmp_path / "y")]


def test_models_of_the_same_name_are_models_of_their_own(roots: list[str]) -> None:
    found = scan(roots, namespacing=True)
    assert not found.duplicates
    assert {name: (each.namespace, each.name, each.path.parent) for name, each in found.models.items()} == {
        f"{roots[0]}::both": (roots[0], "both", Path(roots[0])),
        f"{roots[0]}::one": (roots[0], "one", Path(roots[0])),
        f"{roots[1]}::both": (roots[1], "both", Path(roots[1])),
    }


def test_a_name_means_every_model_that_has_it_or_within_a_namespace_its_own(roots: list[str]) -> None:
    both = [f"{root}::both" for root in roots]
    assert identifiers(roots, "both") == both
    assert identifiers(roots, "both", roots[1]) == both[1:]
    assert identifiers(roots, "one", roots[1]) == [f"{roots[0]}::one"]
    for name in ("nobody", "", "..", "both/1", both[0]):
        assert identifiers(roots, name) == []


def test_an_identifier_finds_its_model_and_a_name_alone_none(roots: list[str]) -> None:
    found = find(roots, f"{roots[1]}::both", namespacing=True)
    assert (found.identifier, found.path) == (f"{roots[1]}::both", Path(roots[1]) / "both")
    for name in ("both", f"{roots[1]}::one"):
        with pytest.raises(TisError) as caught:
            find(roots, name, namespacing=True)
        assert caught.value.code is Code.NOT_FOUND
    for name in (f"{roots[1]}::..", f"{roots[1]}::x/both", "/elsewhere::both"):
        with pytest.raises(TisError) as caught:
            find(roots, name, namespacing=True)
        assert caught.value.code is Code.INVALID_ARG


def test_a_watch_tells_of_models_by_their_identifiers(roots: list[str], tmp_path: Path) -> None:
    watch = Watch(roots, 0.0, namespacing=True)
    watch.accept()
    (tmp_path / "y" / "one" / "1").mkdir(parents=True)
    (tmp_path / "x" / "both").rename(tmp_path / "both")
    now_s = (tmp_path / "y" / "one").stat().st_mtime + 10
    watch.look(now_s)
    # What the first look found was not acted on.
    changes = watch.look(now_s + 1)
    assert (list(changes.added), changes.removed, changes.duplicates) == (
        [f"{roots[1]}::one"],
        (f"{roots[0]}::both",),
        {},
    )
