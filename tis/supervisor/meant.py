"""Loads and unloads by a client's name, which may mean models in several repositories: then all of them, as in Triton."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tis.errors import TisError
from tis.supervisor.loader import Done, Loader
from tis.supervisor.reading import LoadOrder


def load_meant(order: LoadOrder, loader: Loader, done: Done) -> None:
    """Load every model that the order's name means; `done` is called once, with all that went wrong.

    One whose files were sent along is in no repository, and so means itself alone.
    """
    if order.folder is not None or not loader.reader.namespacing:
        loader.load(order, done)
        return
    loader.errands.run(lambda: loader.reader.meant(order.name), partial(_load_all, order, loader, done))


def _load_all(order: LoadOrder, loader: Loader, done: Done, meant: tuple[str, ...]) -> None:
    errors: dict[str, TisError] = {}
    left = set(meant)

    def one_done(name: str, error: TisError | None) -> None:
        left.discard(name)
        if error is not None:
            errors[name] = error
        if not left:
            done(_together([errors[each] for each in meant if each in errors]))

    for name in meant:
        loader.load(replace(order, name=name), partial(one_done, name))


def _together(errors: list[TisError]) -> TisError | None:
    """What went wrong as one error, which has the code of the first."""
    return TisError(errors[0].code, "".join(error.message for error in errors)) if errors else None


def unload_meant(name: str, loader: Loader, done: Callable[[], None], *, dependents: bool) -> None:
    """Unload every model that a name means; `done` is called once, when no new request reaches any of them."""
    left = set(meant := loader.unloader.meant(name))

    def one_done(each: str) -> None:
        left.discard(each)
        if not left:
            done()

    for each in meant:
        loader.unloader.unload(each, partial(one_done, each), dependents=dependents)
