"""What clients ask about the repositories: the index, loading and unloading a model. Both faces translate to these."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tis.contracts import messages as m
from tis.contracts.model_folders import DUPLICATE_REASON, model_folders
from tis.contracts.sent_files import FilesRefusedError, remove_files, write_files
from tis.errors import TisError, internal, unavailable
from tis.log import get_logger
from tis_frontend.server import Server

#: What the names of parameters that carry files begin with.
FILE: Final = "file:"
#: Stands for a config that was given and is empty, since an empty one in the message means none. Neither is JSON.
_EMPTY_CONFIG: Final = " "

_log = get_logger(__name__)


def check_model_control(server: Server) -> None:
    """Raise UNAVAILABLE where clients may not load and unload models; in Triton's words, which name polling in any case."""
    if server.settings.model_control_mode != "explicit":
        raise unavailable("explicit model load / unload is not allowed if polling is enabled")


async def index(server: Server, *, ready: bool) -> list[m.IndexEntry]:
    """Everything that the repositories hold at this moment, by name and version, or only what takes requests.

    Where repositories are namespaces, one comes after the other.

    As in Triton, a model that nobody asked for yet has its name alone, one whose load found no version is not there at all,
    and neither is one that is not served and whose directory has gone. One that is served is there in any case.

    Raises:
        TisError: INTERNAL when a repository cannot be listed.
    """
    if ready:
        return [server.table.shown(entry) for entry in server.table.index if entry.state == "READY"]
    settings = server.settings
    folders = await asyncio.to_thread(
        model_folders, settings.model_repositories, namespacing=settings.model_namespacing
    )
    entries = [each for each in server.table.index if each.name in folders or each.state not in ("", "UNAVAILABLE")]
    known = {entry.name for entry in server.table.index}.union(server.table.names())
    entries += [_unknown(name, folders[name]) for name in folders if name not in known]
    return [server.table.shown(each) for each in sorted(entries, key=lambda entry: (entry.name, entry.version))]


def _unknown(name: str, paths: tuple[Path, ...]) -> m.IndexEntry:
    if len(paths) > 1:
        return m.IndexEntry(name, 0, "UNAVAILABLE", DUPLICATE_REASON)
    return m.IndexEntry(name)


async def load(server: Server, model: str, config: str | None, files: Mapping[str, bytes | str]) -> None:
    """Load a model, or load it anew where it has changed, and wait for it.

    Once begun it goes on, whether or not the client stays.

    Args:
        server: this server.
        model: its name.
        config: JSON that replaces the config file.
        files: content by path (base64 where it is text): these are the model's directory then, and the config is needed.

    Raises:
        TisError: clients may not do so here, or the model cannot be loaded.
    """
    check_model_control(server)
    model = server.table.asked(model)
    if files and config is None:
        raise _poll_failed(model, "override model config must be provided with the files")
    await asyncio.shield(asyncio.ensure_future(_load(server, model, config, files)))


async def _load(server: Server, model: str, config: str | None, files: Mapping[str, bytes | str]) -> None:
    folder: Path | None = None
    if files:
        try:
            folder = await asyncio.to_thread(write_files, server.calls.runtime_dir, files)
        except (FilesRefusedError, OSError) as refusal:
            raise _poll_failed(model, str(refusal)) from None
    wanted = "" if config is None else config or _EMPTY_CONFIG
    where = "" if folder is None else str(folder)
    try:
        reply = server.calls.send(lambda call_id, peer: m.RepositoryLoad(call_id, peer, model, wanted, where))
    except BaseException:
        # Nobody else knows of it yet; from here on it is the supervisor's.
        if folder is not None:
            await asyncio.to_thread(remove_files, folder)
        raise
    await server.calls.done(reply)


def _poll_failed(model: str, reason: str) -> TisError:
    """What Triton answers where a model's directory cannot be read; why, only the log has."""
    _log.error("Poll failed for model directory '%s': %s", model, reason)
    return internal(f"failed to load '{model}', failed to poll from model repository")


async def unload(server: Server, model: str, *, dependents: bool) -> None:
    """Unload a model; done when no new request reaches it. A name that nobody knows is no error.

    Args:
        server: this server.
        model: its name.
        dependents: also the models of an ensemble's steps that are there for it alone.

    Raises:
        TisError: clients may not do so here.
    """
    check_model_control(server)
    model = server.table.asked(model)
    reply = server.calls.send(lambda call_id, peer: m.RepositoryUnload(call_id, peer, model, dependents))
    await server.calls.done(reply)
