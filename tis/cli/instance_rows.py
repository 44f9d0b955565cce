"""`tis models MODEL`: the instances of a model of a running server, and how many there are to be."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tis.cli.server_client import ServerClient

_HEADINGS: Final = ("INSTANCE", "VERSION", "KIND", "GPU", "PID", "STATE")


def instance_rows(server: ServerClient, model: str, count: int | None, group: str) -> list[dict[str, Any]]:
    """What the server says of the instances of a model, after a change of their number where one is asked for.

    Raises:
        ServerError: the server does not answer, or refuses.
    """
    if count is not None:
        server.change_instances(model, count, group)
    return server.instances(model)


def instance_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table for people."""
    cells = [_HEADINGS]
    for row in rows:
        gpu = str(row["device"]) if row["kind"] == "KIND_GPU" else "-"
        kind = str(row["kind"]).removeprefix("KIND_")
        cells.append((row["name"], row["version"], kind, gpu, str(row["pid"] or "-"), row["state"]))
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
