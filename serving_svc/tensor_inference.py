"""Inference on raw tensors: the caller's arrays go through a version's graph as they are.

Nothing is recorded: raw tensors do not say who asked about what.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.clock import Clock
from martlet.errors import InvalidInput
from martlet.events import Arm
from serving_svc.answering import Answering, Asked
from serving_svc.batch_work import TensorRun, TensorRuns
from serving_svc.batcher import Batcher
from serving_svc.loader import ServableHandle
from serving_svc.servable import ServableId, Tensors
from serving_svc.tensor_check import check_inputs, check_outputs, first_not_finite
from serving_svc.tensor_statistics import Stages, TensorStatistics


@dataclass(frozen=True, slots=True)
class TensorQuery:
    """Raw tensors for a version's graph. `version` 0 leaves the choice to the traffic split; no outputs means all."""

    model: str
    version: int
    session: str
    inputs: Mapping[str, npt.NDArray[np.generic]]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorAnswer:
    """The outputs, in the order asked for, and who answered. The prediction id names an answer without a record."""

    servable: ServableId
    arm: Arm
    prediction_id: str
    outputs: Tensors


@dataclass(frozen=True, slots=True)
class _Ran:
    """One request's run, which may have been others' too, and when it was taken and checked (monotonic seconds)."""

    handle: ServableHandle
    run: TensorRun
    rows: int
    taken: float
    checked: float


class TensorInference:
    """Answers requests of raw tensors. Lives on one event loop.

    Args:
        next_id: a new, unique prediction id.
        max_rows: most rows of one request.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        batcher: Batcher,
        statistics: TensorStatistics,
        clock: Clock,
        next_id: Callable[[], str],
        max_rows: int,
    ) -> None:
        self._answering = answering
        self._batcher = batcher
        self._statistics = statistics
        self._clock = clock
        self._next_id = next_id
        self.max_rows = max_rows

    async def infer(self, query: TensorQuery, deadline: float | None) -> TensorAnswer:
        """Runs the graph. `deadline`: monotonic seconds.

        Raises:
            NotFound, NotReady: no such model or version; nothing can answer now.
            InvalidInput: a tensor that does not fit the signature; the message names it.
            OverCapacity, DeadlinePassed: refused before any work.
        """

        async def attempt(handle: ServableHandle) -> _Ran:
            taken = self._clock.monotonic()
            try:
                return await self._run(handle, query, taken, deadline)
            except Exception:
                self._statistics.of(handle.id).fail.add(self._clock.monotonic() - taken)
                raise

        def finite(ran: _Ran) -> bool:
            return self._counted(ran, query)

        answered = await self._answering.answer(query.model, query.version, query.session, Asked(attempt, finite))
        choice = answered.choice
        return TensorAnswer(choice.servable, choice.arm, self._next_id(), answered.result.run.outputs)

    async def _run(self, handle: ServableHandle, query: TensorQuery, taken: float, deadline: float | None) -> _Ran:
        signature = handle.servable.signature
        rows = check_inputs(signature, query.inputs)
        if rows > self.max_rows:
            raise InvalidInput(f"{rows} rows are too many: at most {self.max_rows} are taken")
        work = TensorRuns(check_outputs(signature, query.outputs), self._clock)
        checked = self._clock.monotonic()
        run = await self._batcher.together(handle, work, query.inputs, rows, deadline)
        return _Ran(handle, run, rows, taken, checked)

    def _counted(self, ran: _Ran, query: TensorQuery) -> bool:
        """Whether the run is an answer; counted either way. A graph without features may mean its NaN."""
        statistics, run = self._statistics.of(ran.handle.id), ran.run
        done = self._clock.monotonic()
        if run.finite or not ran.handle.servable.spec.features:
            stages = Stages(ran.taken, ran.checked, run.begun, run.ended, done)
            statistics.answered(ran.rows, stages, self._clock.now_us())
            return True
        statistics.fail.add(done - ran.taken)
        name = first_not_finite(query.inputs)
        if name is not None:
            raise InvalidInput(f"input {name!r} holds an infinity")
        return False
