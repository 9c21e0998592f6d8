"""The manager: closes the gap between what is aspired and what is loaded.

Decides nothing itself: `version_policy.next_action` says the next step, `traffic_split.plan_route` who answers; the
manager carries it out and swaps one pointer, the route.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from martlet.errors import NotFound, NotReady
from martlet.versions import AspiredModel, Role, ServableStatus, VersionState
from serving_svc.loader import LoaderHarness, Loaders, ServableHandle, Trial
from serving_svc.servable import ServableId
from serving_svc.traffic_split import Route, gate_reference, plan_route
from serving_svc.version_policy import Action, Step, VersionView, next_action

RETIRED_KEPT = 16


@dataclass(frozen=True, slots=True)
class Swap:
    """How the bringing up of a version ended.

    Attributes:
        state: READY or FAILED.
        superseded: it failed because it was wanted no more.
        seconds: since it was aspired here.
        learned_us: event time up to which it has learned; 0: nobody says.
    """

    servable: ServableId
    state: VersionState
    superseded: bool
    seconds: float
    learned_us: int


@dataclass(frozen=True, slots=True)
class Held:
    """What a replica holds of one model.

    Attributes:
        states: of its versions.
        routed: HEAD and PIN → version that answers in it and event time up to which that has learned; (0, 0): none. A
            head that is the pin, or is not there, is the pin.
    """

    model: str
    states: tuple[VersionState, ...]
    routed: Mapping[Role, tuple[int, int]]


class _Model:
    """One model's versions in this replica."""

    def __init__(self, aspired: AspiredModel) -> None:
        self.aspired = aspired
        self.harnesses: dict[ServableId, LoaderHarness] = {}
        self.route: Route = plan_route(aspired, frozenset(), None)

    def roles(self) -> dict[ServableId, frozenset[Role]]:
        """What is aspired, each version with all its roles."""
        roles: dict[ServableId, frozenset[Role]] = {}
        for version in self.aspired.versions:
            servable = ServableId(self.aspired.model, version.version, version.digest)
            roles[servable] = roles.get(servable, frozenset()) | {version.role}
        return roles

    def views(self) -> list[VersionView]:
        """All versions as the policy sees them, oldest first."""
        roles = self.roles()
        known = {servable: harness.state for servable, harness in self.harnesses.items()}
        return [
            VersionView(servable, known.get(servable), roles.get(servable, frozenset()), self.route.names(servable))
            for servable in sorted({*roles, *known}, key=lambda servable: servable.version)
        ]

    def held(self) -> Held:
        """What is here. From any thread."""
        harnesses, route = self.harnesses.copy(), self.route
        routed = {}
        for role, servable in ((Role.HEAD, route.head or route.pin), (Role.PIN, route.pin)):
            harness = harnesses.get(servable) if servable is not None else None
            routed[role] = (0, 0) if harness is None else (harness.id.version, harness.learned_us)
        return Held(self.aspired.model, tuple(harness.state for harness in harnesses.values()), routed)

    def plan(self) -> None:
        """Swaps the route."""
        ready = frozenset(
            servable for servable, harness in self.harnesses.items() if harness.state is VersionState.READY
        )
        self.route = plan_route(self.aspired, ready, self.route)


class Manager:
    """Loads, routes and unloads versions. Lives on one event loop; loading runs in the executor (one thread).

    Args:
        trial: what a loaded version goes through before it may answer.
        changed: told after each change of a version's state or a route.
        retired: told which version is gone, so that its metrics and state can go too.
        swapped: told how a version's bringing up ended.
    """

    def __init__(
        self,
        loaders: Loaders,
        trial: Trial,
        executor: Executor,
        *,
        changed: Callable[[], None] = lambda: None,
        retired: Callable[[ServableId], None] = lambda _servable: None,
        swapped: Callable[[Swap], None] = lambda _swap: None,
    ) -> None:
        self._loaders = loaders
        self._trial = trial
        self._executor = executor
        self._changed = changed
        self._retired = retired
        self._swapped = swapped
        self._models: dict[str, _Model] = {}
        self._gone: deque[ServableStatus] = deque(maxlen=RETIRED_KEPT)
        self._tasks: set[asyncio.Task[None]] = set()
        self._synced = False
        self._closing = False

    def aspire(self, aspired: AspiredModel) -> None:
        """Takes a model's new full set; returns at once."""
        model = self._models.get(aspired.model)
        if model is None:
            model = self._models[aspired.model] = _Model(aspired)
        model.aspired = aspired
        wanted = model.roles()
        for servable, harness in model.harnesses.items():
            harness.abandoned = servable not in wanted
        self._advance(model)

    def synced(self) -> None:
        """The first full set has been taken in: models that are unknown now do not exist."""
        if not self._synced:
            self._synced = True
            self._changed()

    def is_ready(self) -> bool:
        """Whether a set was received and each model in it can be answered."""
        models = self._models.values()
        return self._synced and not self._closing and all(m.route.pin or not m.aspired.versions for m in models)

    def route(self, model: str) -> Route:
        """The model's route as it stands.

        Raises:
            NotFound: no such model.
            NotReady: none of its versions is READY, or nothing was heard from the registry yet.
        """
        known = self._models.get(model)
        if known is None:
            raise self._unknown(f"no model {model!r}")
        if known.route.pin is None:
            raise NotReady(f"no version of {model!r} is ready")
        return known.route

    def find(self, model: str, version: int) -> ServableId:
        """The READY version with this number.

        Raises:
            NotFound: no such model, or the version is not READY here.
        """
        known = self._models.get(model)
        if known is None:
            raise self._unknown(f"no model {model!r}")
        for servable, harness in known.harnesses.items():
            if servable.version == version and harness.state is VersionState.READY:
                return servable
        raise self._unknown(f"no version {version} of {model!r} is loaded")

    def handle(self, servable: ServableId) -> ServableHandle:
        """A counted reference; unloading waits until it is left.

        Raises:
            NotReady: it is not READY (any more).
        """
        known = self._models.get(servable.model)
        harness = known.harnesses.get(servable) if known else None
        if harness is None:
            raise NotReady(f"version {servable.version} of {servable.model!r} is not loaded")
        return harness.handle()

    def ready_versions(self, model: str) -> tuple[int, ...]:
        """The numbers of the model's READY versions, ascending."""
        known = self._models.get(model)
        harnesses = known.harnesses.items() if known else ()
        return tuple(sorted(s.version for s, harness in harnesses if harness.state is VersionState.READY))

    def held(self) -> list[Held]:
        """What is here of each model. From any thread."""
        return [model.held() for model in self._models.copy().values()]

    def spec_digests(self, model: str) -> frozenset[str]:
        """The feature specs of the model's READY versions."""
        known = self._models.get(model)
        harnesses = known.harnesses.values() if known else ()
        return frozenset(harness.spec_digest for harness in harnesses if harness.spec_digest)

    def models(self) -> tuple[str, ...]:
        """The models that are aspired, sorted."""
        return tuple(sorted(name for name, model in self._models.items() if model.aspired.versions))

    def statuses(self) -> tuple[ServableStatus, ...]:
        """Every version here, and the last few that are gone."""
        here = [
            ServableStatus(servable.model, servable.version, servable.digest, harness.state, harness.reason)
            for model in self._models.values()
            for servable, harness in sorted(model.harnesses.items(), key=lambda item: item[0].version)
        ]
        return (*here, *self._gone)

    async def close(self) -> None:
        """Drains and frees everything; whatever is loading is finished first."""
        self._closing = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        for model in self._models.values():
            for harness in list(model.harnesses.values()):
                if harness.state is VersionState.READY:
                    self._unload(model, harness)
            model.plan()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _unknown(self, message: str) -> NotFound | NotReady:
        return NotFound(message) if self._synced else NotReady("nothing was heard from the registry yet")

    def _advance(self, model: _Model) -> None:
        model.plan()
        while not self._closing and (action := next_action(model.views())) is not None:
            self._carry_out(model, action)
            model.plan()
        self._changed()

    def _carry_out(self, model: _Model, action: Action) -> None:
        servable = action.servable
        if action.step is Step.LOAD:
            harness = LoaderHarness(servable, self._loaders.loader(servable), self._trial, self._executor)
            model.harnesses[servable] = harness
            self._spawn(self._bring_up(model, harness))
        elif action.step is Step.UNLOAD:
            self._unload(model, model.harnesses[servable])
        else:
            self._drop(model, model.harnesses[servable])

    def _unload(self, model: _Model, harness: LoaderHarness) -> None:
        harness.begin_drain()
        self._spawn(self._take_down(model, harness))

    async def _bring_up(self, model: _Model, harness: LoaderHarness) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        await harness.bring_up(lambda: self._to_follow(model, harness))
        self._swapped(Swap(harness.id, harness.state, harness.superseded, now() - began, harness.learned_us))
        self._advance(model)

    def _to_follow(self, model: _Model, harness: LoaderHarness) -> ServableHandle | None:
        reference = gate_reference(model.aspired, model.route, harness.id)
        return None if reference is None else self.handle(reference)

    async def _take_down(self, model: _Model, harness: LoaderHarness) -> None:
        await harness.take_down()
        self._drop(model, harness)
        self._advance(model)

    def _drop(self, model: _Model, harness: LoaderHarness) -> None:
        servable = harness.id
        del model.harnesses[servable]
        if not harness.superseded:
            self._gone.append(
                ServableStatus(servable.model, servable.version, servable.digest, harness.state, harness.reason)
            )
        self._retired(servable)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
