"""From an aspired version to a servable and back: the loader port, and the harness that keeps one version's state.

(new) ──▶ LOADING ──▶ WARMING ──▶ READY ──▶ DRAINING ──▶ RETIRED
             └───────────┴──▶ FAILED
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from martlet.errors import MartletError, NotFound, NotReady, OverCapacity, Unavailable
from martlet.redaction import without_paths
from martlet.versions import VersionState
from serving_svc.servable import Servable, ServableId

_log = logging.getLogger(__name__)

T = TypeVar("T")

LEGAL_MOVES: Final[dict[VersionState, tuple[VersionState, ...]]] = {
    VersionState.LOADING: (VersionState.WARMING, VersionState.FAILED),
    VersionState.WARMING: (VersionState.READY, VersionState.FAILED),
    VersionState.READY: (VersionState.DRAINING,),
    VersionState.DRAINING: (VersionState.RETIRED,),
    VersionState.RETIRED: (),
    VersionState.FAILED: (),
}

# What trying again may mend: another service or the disk. A blob may be a moment behind its manifest.
_MAY_PASS: Final = (Unavailable, NotFound, OverCapacity, OSError, MemoryError)
RETRY_SECONDS: Final = (0.1, 0.2, 0.4)
AWAY_SECONDS: Final = 1.0  # after those, for as long as the store is away


class SupersededError(Exception):
    """The version was not aspired any more when it would have been tried again."""


class Loader(Protocol):
    """Loads one version. Calls block and come from one loader thread, one at a time."""

    def load(self) -> Servable:
        """Verifies and loads the version; leaves nothing behind when it raises.

        Raises:
            Corrupt, InvalidInput: the version cannot be served, and trying again will not help.
            NotFound, OverCapacity, OSError: trying again may help.
            Unavailable: the store is away, which says nothing about the version.
        """
        ...

    def unload(self) -> None:
        """Frees what `load` took. Called once, when no request uses the servable any more."""
        ...


class Loaders(Protocol):
    """Makes loaders."""

    def loader(self, servable: ServableId) -> Loader:
        """A loader for this version. Cheap."""
        ...


class ServableHandle:
    """Keeps a servable loaded while it is used: a context manager, for one event loop."""

    __slots__ = ("_harness", "servable")

    def __init__(self, harness: "LoaderHarness", servable: Servable) -> None:
        self._harness = harness
        self.servable = servable

    @property
    def id(self) -> ServableId:
        """Which version it is."""
        return self._harness.id

    def extend(self) -> "ServableHandle":
        """One more handle of the same servable; good even while it drains."""
        self._harness.count_in()
        return ServableHandle(self._harness, self.servable)

    def leave(self) -> None:
        """Gives it back; once."""
        self._harness.count_out()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


@dataclass(frozen=True, slots=True)
class Trial:
    """What a version goes through between loading and READY. Both calls block and run in the loader thread.

    Attributes:
        warm_up: runs the version; raises if it cannot serve.
        gate: compares the version (first) with the one that it would follow; raises if it may not.
    """

    warm_up: Callable[[Servable], None]
    gate: Callable[[Servable, Servable], None] = lambda _new, _current: None


class LoaderHarness:
    """One version in this replica: its state, its reason, who uses it. Lives on the event loop, works in the executor.

    Attributes:
        reason: why it failed, or what it is being retried for.
        abandoned: set when the version is not aspired any more: it is not tried again.
        superseded: it failed for that reason alone, which says nothing against it.
    """

    def __init__(self, servable_id: ServableId, loader: Loader, trial: Trial, executor: Executor) -> None:
        self.id = servable_id
        self.state = VersionState.LOADING
        self.reason = ""
        self.abandoned = False
        self.superseded = False
        self._loader = loader
        self._trial = trial
        self._executor = executor
        self._servable: Servable | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def bring_up(self, to_follow: Callable[[], ServableHandle | None] = lambda: None) -> None:
        """Loads and tries out. Never raises: a version that cannot serve ends as FAILED, with its reason.

        Args:
            to_follow: a handle of the version to compare with, asked for when this one is warm; None: of none.
        """
        try:
            servable = await self._load()
        except Exception as error:  # noqa: BLE001  whatever a broken version raises, it must not stop the replica
            self._fail(error)
            return
        self._move(VersionState.WARMING)
        try:
            await self._try_out(servable, to_follow)
        except Exception as error:  # noqa: BLE001  as above
            await self._free()
            self._fail(error)
            return
        self._servable = servable
        self._move(VersionState.READY)

    def begin_drain(self) -> None:
        """From here on no new handle is given."""
        self._move(VersionState.DRAINING)

    async def take_down(self) -> None:
        """Waits for the last handle, then frees."""
        await self._idle.wait()
        self._servable = None
        await self._free()
        self._move(VersionState.RETIRED)

    @property
    def spec_digest(self) -> str:
        """Of the loaded servable; "" if there is none."""
        return self._servable.spec_digest if self._servable is not None else ""

    @property
    def learned_us(self) -> int:
        """Event time up to which the loaded servable has learned; 0 if there is none, or nobody says."""
        servable = self._servable
        return servable.learned_us if servable is not None else 0

    def handle(self) -> ServableHandle:
        """A handle; the caller must leave it.

        Raises:
            NotReady: the version is not READY.
        """
        if self.state is not VersionState.READY or self._servable is None:
            raise NotReady(f"version {self.id.version} of {self.id.model!r} is {self.state.name}")
        self.count_in()
        return ServableHandle(self, self._servable)

    def count_in(self) -> None:
        """One more user."""
        self._in_flight += 1
        if self._in_flight == 1:
            self._idle.clear()

    def count_out(self) -> None:
        """One user less."""
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    async def _load(self) -> Servable:
        pauses = iter(RETRY_SECONDS)
        while True:
            try:
                return await self._run(self._loader.load)
            except _MAY_PASS as error:
                # A store that is away says nothing against the version: for that it is not given up.
                pause = next(pauses, AWAY_SECONDS if isinstance(error, Unavailable) else None)
                if pause is None:
                    raise
                self.reason = without_paths(f"trying again: {error}")
                await asyncio.sleep(pause)
                if self.abandoned:
                    raise SupersededError(str(error)) from error

    async def _try_out(self, servable: Servable, to_follow: Callable[[], ServableHandle | None]) -> None:
        await self._run(lambda: self._trial.warm_up(servable))
        current = to_follow()
        if current is not None:
            with current:
                await self._run(lambda: self._trial.gate(servable, current.servable))

    async def _free(self) -> None:
        try:
            await self._run(self._loader.unload)
        except Exception:  # noqa: BLE001  a version that cannot be freed must not stop the others
            _log.exception("version %d of %s could not be freed", self.id.version, self.id.model)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _move(self, state: VersionState) -> None:
        if state not in LEGAL_MOVES[self.state]:
            raise RuntimeError(f"a version cannot go from {self.state.name} to {state.name}")
        self.state = state
        if state is not VersionState.FAILED:
            self.reason = ""

    def _fail(self, error: Exception) -> None:
        self.superseded = isinstance(error, SupersededError)
        reason = str(error) if isinstance(error, MartletError) else f"{type(error).__name__}: {error}"
        self.reason = without_paths(reason)  # it travels: to the registry, and to whoever asks
        self._move(VersionState.FAILED)
        about = {"model": self.id.model, "version": self.id.version, "digest": self.id.digest}
        _log.error("version %d of %s cannot serve: %s", self.id.version, self.id.model, reason, extra=about)
