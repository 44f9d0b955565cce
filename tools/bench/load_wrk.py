"""Load over HTTP/1.1 by ``wrk``: one thread, N connections, one request in flight on each."""

import json
from pathlib import Path

from .load_tools import require, run_tool
from .payloads import HttpPayload
from .samples import Sample
from .servers import Endpoint

# `done` runs once at the end. Its figures are exact, where wrk's own report is rounded.
SCRIPT = """\
local file = assert(io.open({body_path}, "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
file:close()
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {{"requests":%d,"duration_us":%d,"p50_us":%f,"p99_us":%f,'
    .. '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
"""
ERRORS = ("connect", "read", "write", "status", "timeout")


def measure(endpoint: Endpoint, payload: HttpPayload, clients: int, seconds: int, folder: Path) -> Sample:
    """Load the server and return what wrk saw."""
    body, script = folder / "wrk.body", folder / "wrk.lua"
    body.write_bytes(payload.body)
    # JSON quotes a string as Lua reads it, as long as it is plain text.
    headers = "\n".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in payload.headers().items()
    )
    script.write_text(SCRIPT.format(body_path=json.dumps(str(body)), headers=headers))
    url = f"http://{endpoint.http_address}{payload.path}"
    command = [require("wrk"), "-t1", f"-c{clients}", f"-d{seconds}s", "-s", str(script), url]
    finished = run_tool(command, seconds)
    if finished.returncode:
        return Sample(error=f"wrk: {finished.stderr.strip() or finished.stdout.strip()}")
    return parse(finished.stdout)


def parse(output: str) -> Sample:
    """Read the line that the script printed."""
    result = json.loads(output.rpartition("\nRESULT ")[2])
    failures = [f"{result[kind]} {kind} errors" for kind in ERRORS if result[kind]]
    if failures or not result["requests"]:
        return Sample(error="wrk: " + (", ".join(failures) or "no request was answered"))
    return Sample(result["requests"] / (result["duration_us"] / 1e6), result["p50_us"] / 1000, result["p99_us"] / 1000)
