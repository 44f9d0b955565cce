"""From the command line to the answer: starts the server, asks the example models, waits for Ctrl+C."""

import sys
import time
from pathlib import Path

import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException

from tools.client_example import add_and_subtract, read_word
from tools.demo.options import Options
from tools.demo.place import CannotStartError, Place, find_place
from tools.demo.server import Server, ServerEndedError, interruptible
from tools.environment import ROOT, VENV
from tools.ocr.drawing import draw_found
from tools.ocr.reading import read_by_ensemble

SCENE = ROOT / "tools" / "ocr" / "sample.jpg"
SAMPLE = ROOT / "tools" / "text_recognition" / "sample.png"
#: Where the scene is written with the words' boxes. Nothing but this folder is written to.
DRAWN = VENV / "words_found.png"


def run(options: Options) -> int:
    """Serve, ask, and serve on until told to stop. The exit code is 0 if all of that went well."""
    try:
        place = find_place(options.server_flags)
    except CannotStartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with interruptible():
        try:
            return _serve(place, once=options.once)
        except KeyboardInterrupt:
            # Before there was a server, or while the last words were said.
            return 0


def _serve(place: Place, *, once: bool) -> int:
    say(f"Starting the server with {', '.join(place.models) or 'no models'} ...")
    server = Server(place)
    try:
        server.wait_until_ready(say)
        _ask(place)
        if once:
            return min(abs(server.stop()), 1)
        _tell_where(place)
        raise ServerEndedError(f"the server ended by itself with status {server.wait()}")
    except KeyboardInterrupt:
        say("\nStopping the server ...")
        status = server.stop()
        say(f"The server ended with status {status}.")
        return min(abs(status), 1)
    except ServerEndedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except InferenceServerException as error:
        print(f"error: the server gave no answer: {error}", file=sys.stderr)
        server.stop()
        return 1
    except BaseException:
        server.stop()
        raise


def _ask(place: Place) -> None:
    """Show what the example models answer, where they are served."""
    say("")
    with httpclient.InferenceServerClient(place.http) as client:
        if place.is_of_examples:
            data = SCENE.read_bytes()
            began = time.perf_counter()
            found = read_by_ensemble(client, data)
            took_ms = (time.perf_counter() - began) * 1000
            say(
                f"ensemble_model reads on {_short(SCENE)}: {' '.join(each.text for each in found)}    ({took_ms:.0f} ms)"
            )
            draw_found(data, found, DRAWN)
            say(f"  where the words are: {_short(DRAWN)}")
        if "text_recognition" in place.models:
            began = time.perf_counter()
            word = read_word(client, SAMPLE)
            took_ms = (time.perf_counter() - began) * 1000
            say(f"text_recognition reads on {_short(SAMPLE)}: {word}    ({took_ms:.0f} ms)")
        if "simple" in place.models:
            left, right = list(range(16)), [1] * 16
            total, difference = add_and_subtract(client, left, right)
            say(f"simple: {left[0]}..{left[-1]} and sixteen ones: sum {total}")
            say(f"{'':38}difference {difference}")


def _tell_where(place: Place) -> None:
    say(f"\nHTTP  http://{place.http}/v2")
    if place.grpc:
        say(f"gRPC  {place.grpc}")
    if place.is_of_examples:
        say(f"Try   .venv/bin/python tools/ocr_client.py --url {place.http} {_short(SCENE)}")
    elif "text_recognition" in place.models:
        say(f"Try   .venv/bin/python tools/client_example.py --url {place.http} {_short(SAMPLE)}")
    say("Ctrl+C stops the server.")


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)
