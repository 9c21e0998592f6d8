"""`martlet retrain`: a run of an update strategy is asked of the trainer, and watched; without a strategy, all runs."""

import argparse
import asyncio
import getpass
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table

from martlet.client.trainer import TrainerClient
from martlet.command_options import add_verb, console, places_of, print_json
from martlet.runtime.strategy_config import RUN_NAMES
from martlet.wire.strategy_runs import RunState, StrategyRun

POLL_SECONDS: Final = 0.5
OK, FAILED = 0, 1
UNDER_WAY: Final = (RunState.ASKED, RunState.LEARNING)


def add_retrain(verbs: Any) -> None:
    """The verb and its options."""
    retrain = add_verb(verbs, "retrain", _retrain, "learn beside the live learner; without --strategy: show the runs")
    retrain.add_argument("model")
    retrain.add_argument("--strategy", choices=(*RUN_NAMES, "auto"), help="what to run (see docs/strategies.md)")
    retrain.add_argument("--why", default="", metavar="TEXT", help="stands in the run's journal")
    retrain.add_argument("--who", default="", metavar="NAME", help="stands beside it (the name you are logged in with)")
    retrain.add_argument("--now", action="store_true", help="begin at once (as it does anyway)")
    retrain.add_argument("--wait", action="store_true", help="until its version is offered, or it has failed")


def _retrain(options: argparse.Namespace) -> int:
    if options.strategy is None:
        runs, live = asyncio.run(_listed(options))
        _show_all(options, runs, live)
        return OK
    run = asyncio.run(_started(options))
    if options.json:
        print_json(document(run))
    else:
        console().print(sentence(run))
    return FAILED if run.state is RunState.FAILED else OK


async def _listed(options: argparse.Namespace) -> tuple[list[StrategyRun], str]:
    client = _client(options)
    try:
        return await client.runs(options.model)
    finally:
        await client.close()


async def _started(options: argparse.Namespace) -> StrategyRun:
    client = _client(options)
    try:
        why = options.why or "asked for on the command line"
        run = await client.start_run(options.model, options.strategy, options.who or getpass.getuser(), why)
        while options.wait and run.state in UNDER_WAY:
            await asyncio.sleep(POLL_SECONDS)
            known = {one.name: one for one in (await client.runs(options.model))[0]}
            run = known.get(run.name, run)
    finally:
        await client.close()
    return run


def _client(options: argparse.Namespace) -> TrainerClient:
    places = places_of(options)
    return TrainerClient(places.trainer, places.token, tls=places.tls)


def _show_all(options: argparse.Namespace, runs: list[StrategyRun], live: str) -> None:
    if options.json:
        print_json({"live": live, "runs": [document(run) for run in runs]})
        return
    table = Table(title=f"learning goes on in {live or 'the lineage that the data directory began with'}")
    for column in ("run", "state", "version", "examples", "CPU s", "reason"):
        table.add_column(column)
    for run in runs:
        version = str(run.version) if run.version else ""
        cells = (run.name, run.state.name.lower(), version, f"{run.examples:,}", f"{run.cpu_seconds:.1f}")
        table.add_row(*cells, run.error or run.reason)
    console().print(table)


def document(run: StrategyRun) -> dict[str, Any]:
    """A run for a program to read."""
    return asdict(run) | {"state": run.state.name.lower(), "until": dict(run.until), "report": list(run.report)}


def sentence(run: StrategyRun) -> str:
    """A run for people.

    >>> sentence(StrategyRun("full_retrain-1", "full_retrain", "", "", RunState.OFFERED, 0, {}, version=7))
    'full_retrain-1: version 7 is on the structural road'
    """
    if run.state is RunState.OFFERED:
        return f"{run.name}: version {run.version} is on the structural road"
    if run.state is RunState.LIVE:
        return f"{run.name}: learning goes on from version {run.version}"
    if run.state is RunState.FAILED:
        return f"{run.name} has failed: {run.error}"
    return f"{run.name} has begun: {run.reason}"
