"""Load over gRPC by ``h2load``: one thread, N connections, one call in flight on each.

Its clock runs from the moment that a call's headers are written. With large messages it is itself busy, and a call that
waits for its turn inside h2load counts in the throughput but not in p50 and p99.
"""

import re
from pathlib import Path

from .load_tools import require, run_tool
from .payloads import GrpcPayload
from .samples import Sample, percentile
from .servers import Endpoint

REQUESTS = re.compile(r"^requests: .*?(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", re.MULTILINE)
DATA_BYTES = re.compile(r"^traffic: .*\((\d+)\) data$", re.MULTILINE)
OK_STATUS = "200"
#: Room for responses, of 4 MiB a stream and 16 MiB a connection: gRPC's own clients widen theirs like that where the path
#: takes it, while h2load would begin with 64 KB and stay there.
_WINDOWS = ("-w22", "-W24")


def measure(
    endpoint: Endpoint, payload: GrpcPayload, answer_bytes: int, clients: int, seconds: int, folder: Path
) -> Sample:
    """Load the server and return what h2load saw; ``answer_bytes`` is the framed length of a right answer.

    Where a request has many responses, these are counted, and p50 and p99 are of all of them together.
    """
    data, log = folder / "h2load.data", folder / "h2load.log"
    data.write_bytes(payload.frame)
    log.unlink(missing_ok=True)
    url = f"http://{endpoint.grpc_address}{payload.method}"
    command = [
        require("h2load"),
        "-t1",
        f"-c{clients}",
        "-m1",
        *_WINDOWS,
        f"-D{seconds}",
        f"-d{data}",
        f"--log-file={log}",
    ]
    command += ["-Hcontent-type: application/grpc", "-Hte: trailers", url]
    finished = run_tool(command, seconds)
    if finished.returncode:
        return Sample(error=f"h2load: {finished.stderr.strip() or finished.stdout.strip()}")
    failure = find_failure(finished.stdout, answer_bytes)
    if failure:
        return Sample(error=f"h2load: {failure}")
    return parse_log(log.read_text(), seconds, payload.responses)


def find_failure(output: str, answer_bytes: int) -> str:
    """Say what went wrong, from h2load's summary; empty if nothing did.

    h2load does not know gRPC's status, which is in the trailers: a failed call counts as a success there. But a failed
    call has no message, so the data bytes received tell how many answers there were.
    """
    requests, data = REQUESTS.search(output), DATA_BYTES.search(output)
    if requests is None or data is None:
        return f"unknown output: {output.strip()[-200:]}"
    succeeded, failed, errored, timeout = (int(count) for count in requests.groups())
    if failed or errored or timeout:
        return f"{failed} failed, {errored} errored, {timeout} timed out"
    answers = int(data[1]) // answer_bytes
    if answers < succeeded:
        return f"{succeeded} calls ended but only {answers} carried an answer"
    return "" if succeeded else "no call was answered"


def parse_log(log: str, seconds: int, responses: int = 1) -> Sample:
    """Read the log: a line for each request, with its start, its status and its length, in microseconds."""
    lengths_us: list[int] = []
    for line in log.splitlines():
        _start, status, length_us = line.split("\t")[:3]
        if status != OK_STATUS:
            return Sample(error=f"h2load: a call ended with status {status}")
        lengths_us.append(int(length_us))
    if not lengths_us:
        return Sample(error="h2load: no call was answered")
    lengths_us.sort()
    p50, p99 = percentile(lengths_us, 0.50) / 1000, percentile(lengths_us, 0.99) / 1000
    return Sample(len(lengths_us) * responses / seconds, p50, p99)
