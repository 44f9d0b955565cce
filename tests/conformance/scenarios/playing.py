"""Plays all scenarios of a server, those of different models at the same time, and gives the outcomes."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from tests.conformance.scenarios import SERVERS
from tests.conformance.scenarios.model import write
from tests.conformance.scenarios.scenario import Scenario
from tests.conformance.scenarios.stage import Client, Stage

_RECORDED: Final = Path(__file__).parents[1] / "recorded" / "scenarios.json"
_DEADLINE_S: Final = 60.0
#: Some forty instances start at once, each a process.
MANY_MODELS_S: Final = 180.0


def write_models(server: str, repository: Path, folder: Path) -> None:
    """The models of a server, which write their notes into `folder`."""
    folder.mkdir()
    for name, config in SERVERS[server][0].items():
        write(repository, name, config, folder)


def play(scenarios: Mapping[str, Scenario], host: str, ports: tuple[int, int], folder: Path) -> dict[str, Any]:
    """What becomes of scenarios on a server with these ports of gRPC and metrics."""
    return asyncio.run(_play(scenarios, host, ports, folder))


async def _play(scenarios: Mapping[str, Scenario], host: str, ports: tuple[int, int], folder: Path) -> dict[str, Any]:
    client = Client(host, *ports, folder)
    #: A model is one scenario's at a time, so that it knows what is its own.
    locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def one(scenario: Scenario) -> Any:
        async with AsyncExitStack() as stack:
            for model in sorted(scenario.models):
                await stack.enter_async_context(locks[model])
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    stage = await Stage(client, *scenario.models[:1], others=scenario.models[1:]).open()
                    outcome = await scenario.script(stage)
            except (AssertionError, TimeoutError) as error:
                outcome = {"stuck": f"{type(error).__name__}: {error}"}
            return json.loads(json.dumps(outcome))

    try:
        outcomes = await asyncio.gather(*(one(scenario) for scenario in scenarios.values()))
    finally:
        await client.close()
    return dict(zip(scenarios, outcomes, strict=True))


def recorded() -> dict[str, Any]:
    """The reference's outcomes."""
    outcomes: dict[str, Any] = json.loads(_RECORDED.read_text()) if _RECORDED.exists() else {}
    return outcomes


def record(outcomes: Mapping[str, Any]) -> None:
    """Replace the reference's outcomes: a line for each scenario."""
    lines = [f"{json.dumps(name)}: {json.dumps(each, sort_keys=True)}" for name, each in outcomes.items()]
    _RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
