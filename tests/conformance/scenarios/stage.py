"""What the script of a scenario has at hand: requests whose progress it knows, and what the models and the server tell.

Nothing here waits for a time to pass if it can wait for something to happen: a request is known to run by the model's own
notes, and to wait by the server's count of pending requests.
"""

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from tests.conformance.case import bytes_element

_SERVICE: Final = "/inference.GRPCInferenceService"
_DEADLINE_S: Final = 30.0
_STEP_S: Final = 0.01
_SETTLE_S: Final = 5.0
_MOMENT_S: Final = 0.3
_PENDING: Final = re.compile(r'nv_inference_pending_request_count\{[^}]*model="([^"]+)"[^}]*\} (\d+)')
_FAILURE: Final = re.compile(r"nv_inference_request_failure\{([^}]*)\} (\d+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')

_numbers: Final = count(1)

Outcome = dict[str, Any]


class Metrics:
    """Looks at the metrics for all scenarios that want to see them at the moment."""

    def __init__(self, url: str) -> None:
        self._url: Final = url
        self._waiting: list[asyncio.Future[str]] = []
        self._task: asyncio.Task[None] | None = None

    async def text(self) -> str:
        """What they are some time after this call."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        return await future

    async def _look(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            text = await asyncio.to_thread(self._get)
            for future in waiting:
                if not future.done():
                    future.set_result(text)

    def _get(self) -> str:
        with urllib.request.urlopen(self._url, timeout=_DEADLINE_S) as response:
            text: str = response.read().decode()
            return text


class Client:
    """A connection to one of the two servers."""

    def __init__(self, host: str, grpc_port: int, metrics_port: int, folder: Path) -> None:
        self.channel: Final = grpc.aio.insecure_channel(f"{host}:{grpc_port}")
        self.metrics: Final = Metrics(f"http://{host}:{metrics_port}/metrics")
        self.folder: Final = folder

    async def close(self) -> None:
        """Close it."""
        await self.channel.close()

    async def statistics(self, model: str) -> Any:
        """The counts of a model."""
        call = self.channel.unary_unary(f"{_SERVICE}/ModelStatistics")
        data = await call(service_pb2.ModelStatisticsRequest(name=model).SerializeToString(), timeout=_DEADLINE_S)
        return service_pb2.ModelStatisticsResponse.FromString(data).model_stats[0]

    async def failures(self, model: str) -> dict[str, int]:
        """Failures of a model by reason."""
        counts = {}
        for labels, failed in _FAILURE.findall(await self.metrics.text()):
            named = dict(_LABEL.findall(labels))
            if named["model"] == model:
                counts[named["reason"]] = int(failed)
        return counts


@dataclass
class Asked:
    """A request on its way."""

    task: asyncio.Task[Outcome]
    call: Any = None
    sent_s: float = field(default_factory=time.monotonic)
    took_s: float = 0.0


class Stage:
    """One scenario's view of a server. Labels are the requests' ids."""

    def __init__(self, client: Client, model: str, others: Sequence[str] = ()) -> None:
        self.client: Final = client
        self.model: Final = model
        self._models: Final = (model, *others)
        self._asked: dict[str, Asked] = {}
        self._lines_before: dict[Path, int] = {}
        self._counts_before: dict[str, dict[str, Any]] = {}
        #: So that no scenario meets the files of another.
        self._number: Final = next(_numbers)

    async def open(self) -> "Stage":
        """Note what there is from scenarios before."""
        for path in self._logs():
            self._lines_before[path] = len(path.read_text().splitlines())
        for model in self._models:
            self._counts_before[model] = await self._counts(model)
        return self

    # ---- requests --------------------------------------------------------------------------------------------------

    def ask(self, label: str, model: str = "", *, items: int = 1, **wishes: Any) -> None:
        """Send a request. `wishes` are parameters of the request (`priority`, `timeout`, `sequence_id` ...) and what the
        model is to do; a `hold` lasts until `release`.
        """
        asked = Asked(asyncio.create_task(self._call(label, self._message(label, model, items, wishes))))
        self._asked[label] = asked

    async def _call(self, label: str, message: Any) -> Outcome:
        asked = self._asked[label]
        asked.call = self.client.channel.unary_unary(f"{_SERVICE}/ModelInfer")(
            message.SerializeToString(), timeout=_DEADLINE_S
        )
        try:
            data = await asked.call
        except grpc.aio.AioRpcError as error:
            return {"code": error.code().name, "text": error.details()}
        except asyncio.CancelledError:
            return {"code": "CANCELLED", "text": "by the client"}
        finally:
            asked.took_s = time.monotonic() - asked.sent_s
        response = service_pb2.ModelInferResponse.FromString(data)
        return {"code": "OK", "outputs": [each.name for each in response.outputs]}

    async def stream(
        self,
        messages: Mapping[str, Mapping[str, Any]],
        *,
        until: int | None = None,
        then: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[Outcome]:
        """The responses to requests on a stream of their own, in order; with `until` cancelled after so many of them, while
        the requests of `then` are being executed.
        """
        call = self.client.channel.stream_stream(f"{_SERVICE}/ModelStreamInfer")(timeout=_DEADLINE_S)

        async def write(messages: Mapping[str, Mapping[str, Any]]) -> None:
            for label, wishes in messages.items():
                message = self._message(label, "", 1, dict(wishes))
                message.parameters["triton_enable_empty_final_response"].bool_param = True
                await call.write(message.SerializeToString())

        await write(messages)
        if until is None:
            await call.done_writing()
        heard: list[Outcome] = []
        while until is None or len(heard) < until:
            data = await call.read()
            if data is grpc.aio.EOF:
                break
            response = service_pb2.ModelStreamInferResponse.FromString(data)
            inner = response.infer_response
            text = inner.raw_output_contents[0][4:].decode() if inner.raw_output_contents else None
            final = inner.parameters["triton_final_response"].bool_param
            heard.append({"id": inner.id, "text": response.error_message or text, "final": final})
        if then is not None:
            await write(then)
            await self.running(*then)
        call.cancel()
        return heard

    def _message(self, label: str, model: str, items: int, wishes: dict[str, Any]) -> Any:
        message = service_pb2.ModelInferRequest(model_name=model or self.model, id=label)
        inputs = wishes.pop("inputs", ("DO",))
        for output in wishes.pop("outputs", ()):
            message.outputs.add(name=output)
        for name in ("priority", "timeout", "sequence_id", "sequence_start", "sequence_end"):
            if name not in wishes:
                continue
            value = wishes.pop(name)
            parameter = message.parameters[name]
            if isinstance(value, bool):
                parameter.bool_param = value
            elif isinstance(value, str):
                parameter.string_param = value
            else:
                parameter.int64_param = value
        for name in inputs:
            own = {**wishes.get(name, {k: v for k, v in wishes.items() if not isinstance(v, dict)})}
            if own.get("hold"):
                own["hold"] = self._hold(str(own["hold"]) if own["hold"] is not True else label)
            message.inputs.add(name=name, datatype="BYTES", shape=[items, 1])
            message.raw_input_contents.append(bytes_element(json.dumps(own).encode()) * items)
        return message

    def _hold(self, label: str) -> str:
        return f"{self.model}-{self._number}-{label}"

    def release(self, *labels: str) -> None:
        """Let held executions go on."""
        for label in labels:
            (self.client.folder / self._hold(label)).touch()

    def cancel(self, label: str) -> None:
        """The client gives a request up."""
        self._asked[label].call.cancel()

    async def answer(self, label: str) -> Outcome:
        """What a request ends in."""
        return await self._asked[label].task

    async def answers(self) -> dict[str, Outcome]:
        """What all requests end in, by label."""
        return {label: await asked.task for label, asked in self._asked.items()}

    def done(self, label: str) -> bool:
        """Whether a request has been answered."""
        return self._asked[label].task.done()

    async def done_within(self, label: str, seconds: float) -> bool:
        """Whether a request is answered within this time."""
        done, _ = await asyncio.wait([self._asked[label].task], timeout=seconds)
        return bool(done)

    def took_s(self, label: str) -> float:
        """How long a request took that has been answered."""
        return self._asked[label].took_s

    # ---- what happens ----------------------------------------------------------------------------------------------

    async def running(self, *labels: str) -> None:
        """Until these requests are being executed, or have been."""
        await self._until(
            lambda: set(labels) <= {each["id"] for run in self.runs() for each in run},
            lambda: f"{labels} run, not {self.notes()}",
        )

    async def both_run(self, *models: str) -> None:
        """Until each of these models has begun an execution."""
        await self._until(lambda: all(self.runs(each) for each in models), lambda: f"{models} run, not {self.notes()}")

    async def waiting(self, wanted: int, model: str = "") -> None:
        """Until so many requests to a model wait, or for a moment: a batch that was handed to an instance which is busy
        still counts as waiting on one of the servers only, and so does a request whose time is over.
        """
        until_s = time.monotonic() + _MOMENT_S
        while time.monotonic() < until_s:
            pending = _PENDING.findall(await self.client.metrics.text())
            if wanted in [int(each) for name, each in pending if name == (model or self.model)]:
                return
            await asyncio.sleep(_STEP_S)

    async def ask_all(self, labels: str, model: str = "", *, before: int = 0, **wishes: Any) -> None:
        """Send one request after the other, each when the one before waits (see `waiting`); `before` wait already."""
        for number, label in enumerate(labels.split(), before + 1):
            self.ask(label, model, **wishes)
            await self.waiting(number, model)

    async def _until(self, condition: Callable[[], bool], what: Callable[[], str]) -> None:
        until_s = time.monotonic() + _DEADLINE_S
        while not condition():
            if time.monotonic() > until_s:
                raise AssertionError(f"not in time: {what()}")
            await asyncio.sleep(_STEP_S)

    # ---- what is told ----------------------------------------------------------------------------------------------

    def _logs(self) -> list[Path]:
        return sorted(path for model in self._models for path in self.client.folder.glob(f"{model}.*.log"))

    def notes(self) -> list[Outcome]:
        """What the models have noted in this scenario, oldest first, with the names of model and instance."""
        found = []
        for path in self._logs():
            lines = path.read_text().splitlines(keepends=True)[self._lines_before.get(path, 0) :]
            model, instance = path.name.split(".")[:2]
            found += [
                {"model": model, "instance": instance, **json.loads(each)} for each in lines if each.endswith("\n")
            ]
        return sorted(found, key=lambda each: each.get("began_ns", 0))

    def runs(self, model: str = "") -> list[list[Outcome]]:
        """The requests of each execution, as the model saw them."""
        return [each["requests"] for each in self.notes() if "requests" in each and model in ("", each["model"])]

    def batches(self, model: str = "") -> list[list[str]]:
        """The labels of each execution."""
        return [[each["id"] for each in run] for run in self.runs(model)]

    async def counts(self, ended: int, model: str = "") -> Outcome:
        """What the server has counted in this scenario, once so many requests have succeeded or failed."""
        model = model or self.model
        until_s = time.monotonic() + _SETTLE_S
        while True:
            now, before = await self._counts(model), self._counts_before[model]
            grown = {name: _less(now[name], before[name]) for name in now}
            if grown["success"] + grown["fail"] >= ended or time.monotonic() > until_s:
                return grown
            await asyncio.sleep(_STEP_S)

    async def _counts(self, model: str) -> Outcome:
        stats = await self.client.statistics(model)
        return {
            "success": stats.inference_stats.success.count,
            "fail": stats.inference_stats.fail.count,
            "inferences": stats.inference_count,
            "executions": stats.execution_count,
            "sizes": {str(each.batch_size): each.compute_infer.count for each in stats.batch_stats},
            "reasons": await self.client.failures(model),
        }


def _less(now: Any, before: Any) -> Any:
    if isinstance(now, dict):
        return {name: value - before.get(name, 0) for name, value in now.items() if value - before.get(name, 0)}
    return now - before
