"""`python -m examples.demo`: the whole loop on MovieLens 100K."""

import argparse
import asyncio
import json
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from examples.demo.faulty_trainer import FLIP, Flip
from examples.demo.figures import Moment, auc_from, auc_over_time, freshness, percentiles
from examples.demo.history import frozen_scores, recorded_events, recorded_examples, retrained_scores
from examples.demo.judgement import Evidence, judgement
from examples.demo.processes import Services
from examples.demo.promises import Promise, promises, second_promises
from examples.demo.report import render_report
from examples.demo.sabotage import Saboteur
from examples.demo.second_act import NO_GATE, Planted, Watched, flip_of, plant, watch
from martlet.artifacts import FolderStore
from martlet.client.channel import CallPolicy
from martlet.client.registry import RegistryClient
from martlet.client.rollout import RolloutClient
from martlet.client.serving import ServingClient
from martlet.client.trainer import TrainerClient
from martlet.errors import MartletError
from martlet.eventlog.file_log import FileEventReader
from martlet.manifest import Manifest, decode_manifest
from martlet.replay.datasets import Dataset, Rating, interleaved, movielens_100k, synthetic
from martlet.replay.traffic import LIKED, MODEL, Answers, Traffic
from martlet.runtime.config import Config
from martlet.versions import VersionRecord, VersionState
from registry_svc.catalog_database import open_database
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.journal import Decision
from trainer_svc.audit_app import run_audit
from trainer_svc.journal import Rewound, read_journal
from trainer_svc.training_ports import AsTheyAre

MODEL_REF = "examples.movielens.model:MODEL"
SETTINGS = {"MARTLET_TRAINER_MODEL": MODEL_REF}
PATIENT = CallPolicy(timeout=30.0, tries=60, backoff=0.05)
ONCE = CallPolicy(timeout=30.0, tries=1)  # a retry would hide a failed request, and none may fail


def main() -> int:
    """0: every promise on correctness was kept."""
    options = _options()
    console = Console()
    dataset = _dataset(options, console)
    events = list(dataset.ratings if options.order == "time" else interleaved(dataset.ratings))
    whole = not options.quick
    events = events[: options.quick] if options.quick else events
    out: Path = options.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    started = time.monotonic()
    flip = flip_of(options.sabotage, len(events), options.seed)
    services = _services(options, flip)
    try:
        course = asyncio.run(_loop(services, dataset, events, options, console))
    finally:
        services.stop_all()
    console.print("[bold]The loop has ended.[/] Checking: audit, baselines, freshness, the judge ...")
    summary, curves = _summarise(out, dataset, course, flip, options)
    summary["duration_s"] = round(time.monotonic() - started, 1)
    kept = [*promises(summary, whole=whole), *(second_promises(summary, options.sabotage) if whole else [])]
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (out / "report.html").write_text(render_report(summary, curves, kept))
    _show(console, summary, kept, out)
    return 0 if all(promise.kept or promise.timing for promise in kept) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="The whole loop on real data.")
    parser.add_argument("--data", type=Path, help="one's own copy of MovieLens 100K: a folder with the three files")
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("--quick", type=int, default=0, help="only so many events")
    parser.add_argument("--order", choices=("interleaved", "time"), default="interleaved")
    parser.add_argument("--rate", type=float, default=750.0, help="events a second at most")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument(
        "--sabotage",
        choices=("half", "flip", "none"),
        default="half",
        help="second act: half of the labels flipped for a while, all of them (gates off), or none",
    )
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--others", type=int, default=4, help="candidates beside the one that was rated")
    return parser.parse_args()


def _services(options: argparse.Namespace, flip: Flip | None) -> Services:
    settings = SETTINGS | (NO_GATE if options.sabotage == "flip" else {})
    if flip is None:
        return Services(options.out, settings)
    text = f"{flip.share}:{flip.first}:{flip.count}:{flip.seed}"
    return Services(options.out, settings | {FLIP: text}, {"trainer": "examples.demo.faulty_trainer"})


def _dataset(options: argparse.Namespace, console: Console) -> Dataset:
    try:
        return movielens_100k(Path(".cache/datasets"), options.data)
    except MartletError as error:
        console.print(f"[yellow]{error}[/]\n[yellow]The synthetic stream takes its place.[/]")
        return synthetic()


@dataclass(frozen=True, slots=True)
class Course:
    """What the services were asked and what they held at the end."""

    answers: Answers
    records: list[VersionRecord]
    planted: Planted
    watched: Watched
    status: dict[str, int]


async def _loop(
    services: Services, dataset: Dataset, events: list[Rating], options: argparse.Namespace, console: Console
) -> Course:
    """Runs the services and the traffic; returns what was answered and what the catalog holds at the end."""
    for name in ("registry", "serving", "trainer"):
        service = services.start(name)
        console.print(f"{name:9} gRPC {service.address}, metrics http://127.0.0.1:{service.metrics_port}/metrics")
    address, watched = services.running["serving"].address, Watched()
    async with ServingClient(address, policy=PATIENT) as waiting, ServingClient(address, policy=ONCE) as serving:
        await _until_ready(waiting)
        registry = RegistryClient(services.running["registry"].address, policy=PATIENT)
        rollouts = RolloutClient(services.running["registry"].address)
        traffic = Traffic(serving, dataset, options.others, options.rate, options.seed)
        saboteur = Saboteur(registry, options.out / "data" / "artifacts", MODEL)
        watchers = [
            asyncio.create_task(_progress(console, traffic, registry, len(events))),
            asyncio.create_task(watch(rollouts, watched)),
        ]
        faults = asyncio.create_task(plant(saboteur, traffic, len(events), options.sabotage))
        await traffic.run(iter(events), options.concurrency)
        planted = await faults
        status = await _settled(services.running["trainer"].address, len(traffic.answers.label))
        for watcher in watchers:
            watcher.cancel()
        records = await registry.versions(MODEL, with_manifests=True)
        await registry.close()
        await rollouts.close()
    return Course(traffic.answers, records, planted, watched, status)


async def _until_ready(serving: ServingClient) -> None:
    while not any(  # noqa: ASYNC110  what it waits for is the state of another process
        status.state is VersionState.READY for status in await serving.status()
    ):
        await asyncio.sleep(0.05)


async def _progress(console: Console, traffic: Traffic, registry: RegistryClient, total: int) -> None:
    started = time.monotonic()
    while True:
        await asyncio.sleep(5.0)
        answers = traffic.answers
        lineage = await registry.lineage(MODEL)
        rate = answers.requests / (time.monotonic() - started)
        recent = slice(-5000, None)
        labels = np.array(answers.label[recent])
        auc = auc_from(np.array(answers.logit[recent]), labels, 0) if 0 < labels.sum() < labels.shape[0] else np.nan
        console.print(
            f"  {answers.requests:7,} of {total:,} events, {rate:4.0f}/s, head {lineage.head_version}, "
            f"pin {lineage.pin_version}, AUC of the last 5,000: {auc:.3f}, failed: {len(answers.failures)}"
        )


async def _settled(address: str, acknowledged: int) -> dict[str, int]:
    """Waits until the trainer has learned what was acknowledged, a minute at most."""
    client = TrainerClient(address)
    end = time.monotonic() + 60
    while True:
        status = await client.status()
        if status.learned + status.dead_lettered + status.excluded >= acknowledged or time.monotonic() > end:
            break
        await asyncio.sleep(0.1)
    await client.close()
    return {
        "acknowledged": acknowledged,
        "learned": status.learned,
        "excluded": status.excluded,
        "dead_lettered": status.dead_lettered,
        "pending": status.pending,
        "duplicates": status.duplicates,
    }


def _summarise(
    out: Path, dataset: Dataset, course: Course, flip: Flip | None, options: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    config = _config(out)
    answers, corrupt = course.answers, course.planted.corrupt
    assert corrupt is not None
    report = run_audit(config, 10_000, (lambda: flip) if flip else AsTheyAre)
    foreign = {record.version for record in (corrupt, course.planted.tenfold, course.planted.shifted) if record}
    manifests = {
        record.version: decode_manifest(record.manifest) for record in course.records if record.version not in foreign
    }
    moments = [Moment(version, manifest.learned.positions) for version, manifest in manifests.items()]
    outcomes = (answers.partition, answers.offset, answers.acknowledged_at)
    end = max(answers.answered_at)
    live = freshness(*outcomes, *_arm(answers, live=True), moments, end)
    stable = freshness(*outcomes, *_arm(answers, live=False), moments, end)
    scores, curves = _quality(config, manifests)
    summary: dict[str, Any] = {
        "dataset": dataset.name,
        "sabotage": options.sabotage,
        "seed": options.seed,
        "order": options.order,
        "requests": answers.requests,
        "failed_requests": len(answers.failures),
        "failures": sorted(set(answers.failures))[:5],
        "swaps": len(set(answers.version)) - 1,
        "versions_published": len(manifests),
        "freshness_ms": {
            "live": {**live.as_json(), "unanswered": live.unanswered},
            "stable": {**stable.as_json(), "unanswered": stable.unanswered},
        },
        "data_age_ms": percentiles(_data_age(answers, manifests)).as_json(),
        "live_share": round(float(np.mean(answers.live)), 4),
        "auc": scores,
        "parity_max_abs_diff": report.parity_max_abs_diff,
        "audit": report.as_json(),
        "corrupt_version": {
            "version": corrupt.version,
            "state": corrupt.state.name,
            "reason": corrupt.reason,
            "answers": answers.version.count(corrupt.version),
        },
        "events": course.status,
        "requests_per_s": round(answers.requests / (answers.acknowledged_at[-1] - answers.answered_at[0]), 1),
    }
    second, decisions = _second(config, course, manifests, flip)
    summary |= second
    curves["freshness"] = live.values
    curves["answers"] = answers
    curves["watched"], curves["decisions"] = course.watched, decisions
    return summary, curves


def _second(
    config: Config, course: Course, manifests: dict[int, Manifest], flip: Flip | None
) -> tuple[dict[str, Any], list[Decision]]:
    """What the judge did, and what became of what was planted; and every decision of the registry."""
    predictions, outcomes, offsets = recorded_events(FileEventReader(config.event_log_dir))
    engine = open_database(config.catalog_url)
    decisions = SqlCatalog(engine).journal(MODEL)
    engine.dispose()
    entries = (entry for entry, _ in read_journal(FileEventReader(config.checkpoint_dir), 0))
    rewinds = [entry for entry in entries if isinstance(entry, Rewound)]
    records = {record.version: record for record in course.records}
    evidence = Evidence(records, manifests, predictions, outcomes, offsets, decisions, rewinds)
    found = judgement(evidence, flip)
    for name, planted in (("gated_version", course.planted.tenfold), ("structural_bad", course.planted.shifted)):
        if planted is not None:
            record = records[planted.version]
            met = course.answers.version.count(planted.version)
            found[name] = {"version": record.version, "state": record.state.name, "reason": record.reason,
                           "user_requests": met}  # fmt: skip
    if flip is not None:
        found["flip_from"] = flip.first
    return found, decisions


def _config(out: Path) -> Config:
    config = Config(data_dir=out / "data")
    return replace(config, trainer=replace(config.trainer, model=MODEL_REF))


def _arm(answers: Answers, *, live: bool) -> tuple[list[float], list[int]]:
    """When which version answered, in one lane."""
    chosen = [place for place, is_live in enumerate(answers.live) if is_live is live]
    return [answers.answered_at[place] for place in chosen], [answers.version[place] for place in chosen]


def _data_age(answers: Answers, manifests: dict[int, Manifest]) -> np.ndarray:
    """For each answer, how old the newest outcome is that its version has learned, milliseconds."""
    order = np.argsort(answers.offset)
    offsets = np.array(answers.offset)[order]
    times = np.maximum.accumulate(np.array(answers.acknowledged_at)[order])
    newest = {}
    for version, manifest in manifests.items():
        place = int(np.searchsorted(offsets, max(manifest.learned.positions.values(), default=0), "right")) - 1
        newest[version] = times[place] if place >= 0 else np.nan
    ages = np.array(answers.answered_at) - np.array([newest.get(version, np.nan) for version in answers.version])
    known: np.ndarray = np.maximum(ages[~np.isnan(ages)], 0.0) * 1000.0
    return known


def _quality(config: Config, manifests: dict[int, Manifest]) -> tuple[dict[str, float], dict[str, Any]]:
    recorded = recorded_examples(FileEventReader(config.event_log_dir), LIKED)
    start = len(recorded) // 5
    labels = recorded.labels.astype(np.float64)
    # From the record, not from the client: an outcome may be on disk though its acknowledgement was lost.
    online = recorded.logits
    first = next(m for m in manifests.values() if m.learned.examples >= start)
    frozen = np.concatenate([np.zeros(start), frozen_scores(FolderStore(config.artifact_dir), first, recorded, start)])
    by_passes = {
        passes: np.concatenate([np.zeros(start), retrained_scores(recorded, start, 10, passes)]) for passes in (1, 2, 3)
    }
    passes, retrained = max(by_passes.items(), key=lambda item: auc_from(item[1], labels, start))
    scores = {
        "online": auc_from(online, labels, start),
        "frozen_at_20pct": auc_from(frozen, labels, start),
        "retrained_every_10pct": auc_from(retrained, labels, start),
        "retrained_passes": passes,
    }
    window = max(min(10_000, len(recorded) // 5), 2)
    curves = {
        "online": auc_over_time(online, labels, window, 40),
        "frozen": [p for p in auc_over_time(frozen, labels, window, 40) if p[0] >= start + window],
        "retrained": [p for p in auc_over_time(retrained, labels, window, 40) if p[0] >= start + window],
    }
    return {name: round(float(value), 4) for name, value in scores.items()}, curves


def _show(console: Console, summary: dict[str, Any], kept: list[Promise], out: Path) -> None:
    table = Table("promise", "found", "wanted", "")
    for promise in kept:
        mark = "[green]kept[/]" if promise.kept else "[yellow]late[/]" if promise.timing else "[red]BROKEN[/]"
        table.add_row(promise.name, promise.found, promise.wanted, mark)
    console.print(table)
    console.print(
        f"freshness, live lane: p50 {summary['freshness_ms']['live']['p50']:.0f} ms; pin: p50 "
        f"{summary['freshness_ms']['stable']['p50']:.0f} ms; data age p50 {summary['data_age_ms']['p50']:.0f} ms; "
        f"live share {summary['live_share']:.2f}; {summary['versions_published']} versions, {summary['swaps']} swaps"
    )
    console.print(f"{out / 'summary.json'}, {out / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
