"""The use cases of rollouts: look, and an operator's word. Servicers know only this room."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from typing import Final, TypeVar

from martlet.errors import InvalidInput, NotFound
from martlet.rollouts import RolloutView
from registry_svc.catalog import Catalog
from registry_svc.judge_desk import JudgeDesk
from registry_svc.lane import NOBODY
from registry_svc.operator_desk import OperatorDesk, Word
from registry_svc.policy import Policies
from registry_svc.rollout_view import rollout_view

R = TypeVar("R")

MOST_DECISIONS: Final = 1_000
LONGEST_WORD: Final = 500


class Rollouts:
    """Async-safe: lives on one event loop; works on the catalog's thread."""

    def __init__(
        self, catalog: Catalog, operator: OperatorDesk, desk: JudgeDesk, policies: Policies, thread: Executor
    ) -> None:
        self._catalog = catalog
        self._operator = operator
        self._desk = desk
        self._policies = policies
        self._thread = thread

    async def show(self, model: str, decisions: int) -> RolloutView:
        """Where a model's rollouts stand, with its newest decisions.

        Raises:
            NotFound: no such model.
        """
        return await self._run(lambda: self._show(model, min(decisions, MOST_DECISIONS)))

    async def promote(self, model: str, version: int, word: Word) -> None:
        """See `OperatorDesk.promote`."""
        _check(word)
        await self._run(lambda: self._operator.promote(model, version, word))

    async def abort(self, model: str, word: Word) -> None:
        """See `OperatorDesk.abort`."""
        _check(word)
        await self._run(lambda: self._operator.abort(model, word))

    async def pin(self, model: str, version: int, word: Word) -> None:
        """See `OperatorDesk.pin`."""
        _check(word)
        await self._run(lambda: self._operator.pin(model, version, word))

    async def thaw(self, model: str, word: Word) -> None:
        """See `OperatorDesk.thaw`."""
        _check(word)
        await self._run(lambda: self._operator.thaw(model, word))

    def _show(self, model: str, decisions: int) -> RolloutView:
        standing = self._catalog.standing(model)
        if standing.lane.pin == NOBODY:
            raise NotFound(f"no model {model!r}")
        first = max(standing.decisions - decisions, 0)
        newest = list(enumerate(self._catalog.journal(model, first), start=first + 1))[::-1]
        judge = self._desk.of(standing.lane)
        return rollout_view(
            standing.lane, judge.lane_evidence(), judge.trial_evidence(), newest, self._policies.of(model)
        )

    async def _run(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, work)


def _check(word: Word) -> None:
    for name, text in (("who", word.who), ("why", word.why)):
        if not text.strip() or not text.isprintable() or len(text) > LONGEST_WORD:
            raise InvalidInput(f"{name} must be said, in 1 to {LONGEST_WORD} printable characters")
