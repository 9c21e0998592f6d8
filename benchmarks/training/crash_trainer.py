"""A real trainer process that is killed at a named point, or decides by the log alone, or in a broken order.

`python -m benchmarks.training.crash_trainer TRAINER-ARGUMENTS` runs `python -m trainer_svc` so; with `--serve` it
imports everything once, and forks a trainer for each line of JSON that it reads.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import numpy as np

import trainer_svc.lineages.state
import trainer_svc.live_app
import trainer_svc.publisher
import trainer_svc.publishing
from benchmarks.training.crash_model import MODEL
from benchmarks.training.failpoints import Failpoint, install
from martlet.clock import SystemClock
from martlet.feature_encoding import RankInput, encode
from trainer_svc.__main__ import main as run_trainer
from trainer_svc.checkpointing import Checkpointing
from trainer_svc.committing import Committed
from trainer_svc.export.exporter import Exporter
from trainer_svc.learner import Learner
from trainer_svc.row_store import RowStore
from trainer_svc.table.updates import RowUpdate

POINT, FIXED, BROKEN = "CRASH_POINT", "CRASH_FIXED_US", "CRASH_BROKEN"
INITIAL_BUCKETS: Final = 256
PUBLISH_EXAMPLES: Final = 200  # a run that decides by the log alone makes a version each time it learned so many


class Inline(ThreadPoolExecutor):
    """Runs what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Runs it."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  it belongs to whoever asks the future
            future.set_exception(error)
        return future


def decide_by_the_log(now_us: int) -> None:
    """Wall time stands; a version comes after so many examples, and is answered before the next step."""
    live, publishing = trainer_svc.live_app, trainer_svc.publishing
    policy = publishing.next_publish

    def executor(workers: int, name: str) -> ThreadPoolExecutor:
        return (Inline if name == "publisher" else ThreadPoolExecutor)(workers, name)

    def every_so_many(view: Any) -> Any:
        due = view.learned >= PUBLISH_EXAMPLES or not view.has_head
        return policy(replace(view, since_last_s=None)) if due else None

    SystemClock.now_us = lambda _: now_us  # type: ignore[method-assign]
    live.ThreadPoolExecutor = executor  # type: ignore[misc,assignment]
    live.secrets.token_hex = lambda count: "0" * 2 * count  # type: ignore[misc,assignment]
    publishing.next_publish = every_so_many


def effect_before_journal() -> None:
    """What the harness must find: an entry takes effect, and comes to the journal one entry late."""
    record = Committed.record

    def record_late(self: Committed, entry: Any) -> None:
        late: list[Any] = self.__dict__.setdefault("_late", [])  # of this process: a death takes it along
        late.append(entry)
        if len(late) > 1:
            record(self, late.pop(0))

    Committed.record = record_late  # type: ignore[method-assign]


def position_apart_from_weights() -> None:
    """What the harness must find: the position is taken when a checkpoint is written, not when it is copied."""
    submit = Checkpointing._submit  # noqa: SLF001  a fault is planted

    def submit_early(self: Checkpointing) -> "Future[str]":
        now, self._position = self._position, getattr(self, "_apart", self._position)
        self._apart = now  # type: ignore[attr-defined]
        return submit(self)

    Checkpointing._submit = submit_early  # type: ignore[method-assign]  # noqa: SLF001


def publish_nothing() -> None:
    """The trainer notices by itself if a version comes out otherwise. Here the harness is to notice it alone."""
    trainer_svc.publishing.next_publish = lambda _: None  # type: ignore[assignment]


BREAKS: Final = {
    "effect_before_journal": effect_before_journal,
    "position_apart_from_weights": position_apart_from_weights,
}


def prepare(environment: dict[str, str]) -> None:
    """Does to this process what the environment says."""
    faulthandler.enable()
    trainer_svc.publisher.FIRST_PAUSE, trainer_svc.publisher.LONGEST_PAUSE = 0.02, 0.2
    if environment.get(FIXED):
        decide_by_the_log(int(environment[FIXED]))
    if environment.get(BROKEN):
        publish_nothing()
        BREAKS[environment[BROKEN]]()
    if environment.get(POINT):
        point, _, hits = environment[POINT].partition(":")
        install(Failpoint(point, int(hits)))


def serve() -> None:
    """Forks trainers until its input ends. Says each one's process id, and then how it ended."""
    _warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_trainer(order)
        print(child, flush=True)  # noqa: T201  the protocol
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


def _be_trainer(order: dict[str, Any]) -> None:
    """The forked child: from here on a trainer like any other."""
    with open(order["log"], "ab") as log, open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(order["environment"])
    code = 1
    try:
        prepare(order["environment"])
        code = run_trainer(order["arguments"])
    finally:
        os._exit(code)


def _warm_up() -> None:
    """Imports, compiled kernels and the exported network are the children's too.

    Torch does not bear to be forked once it went backward.
    """
    importlib.import_module("grpc_reflection.v1alpha.reflection")
    with contextlib.suppress(ModuleNotFoundError):  # torch's exporter shows its progress where it can
        importlib.import_module("tqdm").tqdm.monitor_interval = 0  # a thread would not come along into the child
    learner, exporter = Learner(MODEL, INITIAL_BUCKETS), Exporter(MODEL)
    exporter.graph(learner)
    trainer_svc.lineages.state.Exporter = lambda _: exporter  # type: ignore[misc,assignment]
    rows = RowStore(MODEL, 4)
    block = encode(MODEL.spec, RankInput(1, {}, [1, 2], [{}, {}]))
    read = rows.read(block)
    rows.learn(block, read, [np.ones(one.gathered.shape, np.float32) for one in read], 1, RowUpdate(MODEL.rows, 0.1))
    rows.evict(1)
    assert threading.active_count() == 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        prepare(dict(os.environ))
        sys.exit(run_trainer())
