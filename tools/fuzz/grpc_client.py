"""The fuzzer over gRPC: calls and streams of one channel, every answer looked at."""

import random
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2 as pb

from tools.fuzz.messages import Messages
from tools.fuzz.seeds import GOOD_EVERY, UNFORESEEN
from tools.fuzz.seen import Seen

_DEADLINE_S: Final = 30.0
_IN_FLIGHT: Final = 64
_IN_A_STREAM: Final = 100
_CANCEL_EVERY: Final = 50
_CODES: Final = {"INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "UNIMPLEMENTED"}
_SERVICE: Final = "/inference.GRPCInferenceService/"


class GrpcFuzzer:
    """Calls and streams of one channel."""

    def __init__(self, address: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._messages = Messages(self._random)
        self._channel = grpc.insecure_channel(address)
        self._call = self._channel.unary_unary(_SERVICE + "ModelInfer", None, None)
        self._stream = self._channel.stream_stream(_SERVICE + "ModelStreamInfer", None, None)
        self.seen: Final = Seen()

    def run(self, requests: int) -> Seen:
        """Send so many broken messages, half of them in streams."""
        while self.seen.broken < requests:
            self._calls()
            self._streams()
        self._channel.close()
        return self.seen

    def _one(self, name: str = "", *, parsable: bool = False) -> tuple[bytes, bytes | None]:
        if self._random.randrange(GOOD_EVERY):
            self.seen.broken += 1
            return self._messages.broken(parsable=parsable), None
        self.seen.good += 1
        return self._messages.good(name)

    def _calls(self) -> None:
        asked = [self._one() for _ in range(_IN_FLIGHT)]
        futures = [self._call.future(data, timeout=_DEADLINE_S) for data, _ in asked]
        for (data, expected), future in zip(asked, futures, strict=True):
            if expected is None and self._random.randrange(_CANCEL_EVERY) == 0:
                future.cancel()
                self.seen.outcomes["grpc cancelled"] += 1
                continue
            try:
                answer = pb.ModelInferResponse.FromString(future.result())
            except grpc.RpcError as error:
                self._refused(data, expected, error)
                continue
            self.seen.outcomes["grpc OK"] += 1
            if expected is not None and expected not in answer.raw_output_contents:
                self.seen.problem(f"a good call got {answer}")

    def _refused(self, data: bytes, expected: bytes | None, error: Any) -> None:
        code, text = error.code().name, error.details() or ""
        self.seen.outcomes[f"grpc {code}"] += 1
        unforeseen = code == "INTERNAL" and any(each in text for each in UNFORESEEN)
        if expected is not None or code not in _CODES or not text or unforeseen:
            self.seen.problem(f"{data!r} got {code} {text!r}")

    def _streams(self) -> None:
        asked = [self._one(f"good-{at}", parsable=True) for at in range(_IN_A_STREAM)]
        answers = []
        sent = [data for data, _ in asked]
        unparsable = self._random.randrange(3) == 0
        if unparsable:
            sent.append(b"\xff" + self._random.randbytes(10))
        call = self._stream(iter(sent), timeout=_DEADLINE_S)
        leaves = self._random.randrange(20) == 0
        try:
            for data in call:
                answers.append(pb.ModelStreamInferResponse.FromString(data))
                if leaves:
                    call.cancel()
                    self.seen.outcomes["stream left"] += 1
                    return
        except grpc.RpcError as error:
            self.seen.outcomes[f"stream {error.code().name}"] += 1
            if not unparsable or error.code().name not in _CODES:
                self.seen.problem(f"a stream ended with {error.code().name} {error.details()!r}: {sent!r}")
            return
        if len(answers) != len(asked):
            self.seen.problem(f"{len(asked)} messages in a stream, {len(answers)} answers")
        by_id = {answer.infer_response.id: answer for answer in answers}
        for at, (_, expected) in enumerate(asked):
            if expected is not None:
                found = by_id.get(f"good-{at}")
                if found is None or expected not in found.infer_response.raw_output_contents:
                    self.seen.problem(f"a good message of a stream got {found}")
        self.seen.outcomes["stream error"] += sum(bool(answer.error_message) for answer in answers)
        self.seen.outcomes["stream OK"] += sum(not answer.error_message for answer in answers)


def fuzz_grpc(address: str, seed: int, requests: int) -> Seen:
    """What a process of its own does."""
    return GrpcFuzzer(address, seed).run(requests)
