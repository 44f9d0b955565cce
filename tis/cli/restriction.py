"""How `--http-restricted-api` and `--grpc-restricted-protocol` are read: `<part>,<part>...:<header>=<value>`."""

from collections import Counter
from collections.abc import Iterable

from tis.cli.values import Reader, ValueRefusedError
from tis.settings import RESTRICTED_CATEGORIES, Restriction


def restriction(what: str) -> Reader:
    """A reader of one group; `what` is Triton's word for a part of the interface, `api` or `protocol`."""

    def read(flag: str, value: str) -> Restriction:
        names, _, pair = value.partition(":")
        header, _, secret = pair.partition("=")
        if not (names and header and secret):
            raise ValueRefusedError(f"--{flag} option format is '<config name>:<setting>=<value>'. Got {value}")
        categories = tuple(names.split(","))
        for category in categories:
            if category not in RESTRICTED_CATEGORIES:
                raise ValueRefusedError(f"unknown restricted {what} '{category}'")
        return Restriction(categories=categories, header=header, value=secret)

    return Reader("<string>:<string>=<string>", read)


def named_twice(groups: Iterable[Restriction]) -> str:
    """A category that more than one group names, or one group twice; empty where there is none."""
    counted = Counter(category for group in groups for category in group.categories)
    return next((category for category, count in counted.items() if count > 1), "")
