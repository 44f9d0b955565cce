"""What `tools/conformance` does."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.conformance.asking import Asker
from tests.conformance.case import Case, masked
from tests.conformance.cases import all_cases
from tests.conformance.differences import DIFFERENCES
from tests.conformance.pending import PENDING
from tests.conformance.recorded import recorded, write
from tests.conformance.repository import write_repository
from tests.conformance.servers import SERVERS, reference
from tests.harness.server import HOST, Server

_PORT: Final = 9600
_DEATH_S: Final = 3.0

#: Recorded in place of answers where the request has ended the reference. This server has to give some answer.
DIED: Final = {"reference": "died"}

Answers = dict[tuple[str, str], list[dict[str, Any]]]


def main(arguments: Sequence[str]) -> int:
    """Record or compare; gives the exit code."""
    parser = argparse.ArgumentParser(prog="tools/conformance")
    parser.add_argument("what", choices=["record", "diff"])
    parser.add_argument("nouns", nargs="*")
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--port", type=int, default=_PORT)
    parser.add_argument("--names", action="store_true")
    options = parser.parse_intermixed_args(arguments)
    known = all_cases()
    cases = {noun: known[noun] for noun in options.nouns or known}
    if options.what == "record":
        if options.reference is None:
            parser.error("record needs --reference")
        _record(cases, _reference_answers(cases, options.reference, options.port))
        return 0
    theirs = (
        _reference_answers(cases, options.reference, options.port)
        if options.reference is not None
        else {(noun, name): recorded(noun).get(name, []) for noun, each in cases.items() for name in each}
    )
    return _diff(cases, theirs, _own_answers(cases, theirs), names_only=options.names)


def _record(cases: dict[str, dict[str, Case]], answers: Answers) -> None:
    for noun, each in cases.items():
        write(noun, {name: answers[noun, name] for name in each})
        print(f"{noun}: {len(each)}")


def _diff(cases: dict[str, dict[str, Case]], theirs: Answers, ours: Answers, *, names_only: bool) -> int:
    differing = 0
    for noun, each in cases.items():
        for name, case in each.items():
            one, other = masked(theirs[noun, name], case.masks), masked(ours.get((noun, name), []), case.masks)
            if one == other:
                continue
            key = f"{noun}/{name}"
            known = (
                DIFFERENCES.get(key) or PENDING.get(key) or ("the reference died" if DIED in theirs[noun, name] else "")
            )
            differing += not known
            if names_only and known:
                continue
            print(f"{key}{f'    ({known})' if known else ''}")
            for index in range(0 if names_only else max(len(one), len(other))):
                left, right = (*one, *[""] * len(other))[index], (*other, *[""] * len(one))[index]
                if left != right:
                    print(f"  {index} reference: {left}\n  {index} this     : {right}")
    print(f"{differing} of {sum(map(len, cases.values()))} cases differ and are not listed", file=sys.stderr)
    return int(differing > 0)


def _reference_answers(cases: dict[str, dict[str, Case]], program: Path, port: int) -> Answers:
    answers: Answers = {}
    for kind, wanted in _by_server(cases).items():
        with tempfile.TemporaryDirectory(prefix="tis-conformance-") as folder:
            repository = write_repository(Path(folder) / "models", SERVERS[kind].models, reference=True)
            left = dict(wanted)
            while left:
                with (
                    reference(program, repository, SERVERS[kind], port, Path(folder) / "log") as process,
                    _asker(HOST, port, port + 1) as asker,
                ):
                    for key, case in tuple(left.items()):
                        del left[key]
                        answers[key] = json.loads(json.dumps(asker.ask(case)).replace(folder, ""))
                        if _died(process, answers[key]):
                            print(f"{'/'.join(key)}: the reference died", file=sys.stderr)
                            answers[key] = [DIED]
                            break
    return answers


def _died(process: "subprocess.Popen[bytes]", answers: Sequence[dict[str, Any]]) -> bool:
    """Whether a case has ended the reference, which may take a moment to show."""
    if not any("connection" in answer or answer.get("code") == "UNAVAILABLE" for answer in answers):
        return process.poll() is not None
    try:
        process.wait(_DEATH_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _own_answers(cases: dict[str, dict[str, Case]], theirs: Answers) -> Answers:
    answers: Answers = {}
    for kind, wanted in _by_server(cases).items():
        with tempfile.TemporaryDirectory(prefix="tis-conformance-") as folder:
            repository = write_repository(Path(folder) / "models", SERVERS[kind].models, reference=False)
            server = Server(repository, *SERVERS[kind].flags, log=Path(folder) / "log")
            try:
                server.start()
                with _asker(HOST, server.http_port, server.grpc_port) as asker:
                    for key, case in wanted.items():
                        answers[key] = ask_until(asker, case, theirs[key])
            except AssertionError as error:
                print(f"the server '{kind}': {str(error)[-600:]}", file=sys.stderr)
            finally:
                try:
                    server.close()
                except AssertionError as error:
                    print(f"the server '{kind}': {error}\n{server.log()[-3000:]}", file=sys.stderr)
    return answers


def ask_until(asker: Asker, case: Case, wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A case's answers; answers that settle late are waited for until they are as wanted."""
    return asker.ask(
        case,
        lambda index, answer: (
            index < len(wanted) and masked([answer], case.masks) == masked([wanted[index]], case.masks)
        ),
    )


def _by_server(cases: dict[str, dict[str, Case]]) -> dict[str, dict[tuple[str, str], Case]]:
    result: dict[str, dict[tuple[str, str], Case]] = {}
    for noun, each in cases.items():
        for name, case in each.items():
            result.setdefault(case.server, {})[noun, name] = case
    return result


@contextmanager
def _asker(host: str, http_port: int, grpc_port: int) -> Iterator[Asker]:
    asker = Asker(host, http_port, grpc_port)
    try:
        yield asker
    finally:
        asker.close()
