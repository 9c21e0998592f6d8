"""Versions on their way: made when the policy says so, answered by the registry, one at a time."""

import martlet
from martlet.clock import Clock
from martlet.manifest import Manifest, encode_manifest, manifest_digest
from trainer_svc.committing import Committed
from trainer_svc.hand_over import HandOver, Head, Kin
from trainer_svc.journal import Overtaken, Published, Recalled
from trainer_svc.loop_settings import LoopObserver, Pace
from trainer_svc.publish_policy import PublishView, next_publish
from trainer_svc.publisher import Publisher, PublishJob


class Publishing:
    """All calls from the loop's thread."""

    def __init__(
        self,
        committed: Committed,
        publisher: Publisher,
        pace: Pace,
        clock: Clock,
        observer: LoopObserver,
        kin: Kin,
    ) -> None:
        self._kin = kin
        self._committed = committed
        self._publisher = publisher
        self._pace = pace
        self._clock = clock
        self._observer = observer
        self._job: PublishJob | None = None
        self._began = 0.0
        self._last: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a version is under way."""
        return self._job is not None

    def resume(self) -> None:
        """After a restart: offers the version that was under way again."""
        at = self._committed.state.cursor.at
        if at.flight is not None:
            self._began = self._clock.monotonic()
            self._job = self._publisher.resubmit(at.number, at.flight)

    def begin_if_due(self, *, held_back: bool) -> None:
        """Makes a version if one is due. `held_back`: the registry must hear of a rewind first."""
        state = self._committed.state
        kind = next_publish(self._view(held_back=held_back))
        if kind is None:
            return
        entry = Published(state.cursor.at.number + 1, kind, martlet.__version__)
        self._committed.record(entry)
        self._last = self._began = self._clock.monotonic()
        self._job = self._publisher.submit(state.take_off(entry))

    def note_built(self) -> None:
        """Takes the manifest over once the version's blobs are durable."""
        cursor = self._committed.state.cursor
        if self._job is not None and cursor.at.flight is None and self._job.built.done():
            cursor.built(self._job.built.result())

    def await_built(self) -> None:
        """Waits until a version under way is built; one that cannot be built any more stays as it is."""
        if self._job is not None and self._job.built.exception() is None:
            self.note_built()

    def settle(self) -> Recalled | None:
        """Takes the registry's answer, if it has come; gives it back if learning has to go back first.

        Raises:
            HandOver: the head is a version that another lineage of this data directory made.
            NotReady: the disk refused; the answer is kept for the next time.
        """
        self.note_built()
        if self._job is None or not self._job.result.done():
            return None
        result = self._job.result.result()
        if isinstance(result, Recalled):
            self._job = None
            return result
        if isinstance(result, Overtaken) and (lineage := self._kin.lineage_of(result.head_digest)) is not None:
            self._job = None
            raise HandOver(lineage, Head(0, result.head_digest, result.epoch))
        self._committed.record(result)
        self._job = None  # not before: if the disk refuses, the next turn takes the same answer again
        self._committed.state.land(result)
        self._observer.published(result, self._clock.monotonic() - self._began)
        return None

    def overtaken(self, epoch: int, head_digest: str) -> None:
        """The head is a version that this trainer did not make: gives up what is under way."""
        at = self._committed.state.cursor.at
        if at.flying:
            entry = Overtaken(at.number, _digest_of(at.flight), epoch, head_digest)
            self._committed.record(entry)
            self._committed.state.land(entry)

    def _view(self, *, held_back: bool) -> PublishView:
        state, last = self._committed.state, self._last
        cursor = state.cursor
        return PublishView(
            since_last_s=None if last is None else self._clock.monotonic() - last,
            interval_s=self._pace.publish_interval_s,
            learned=state.examples - cursor.at.examples,
            in_flight=cursor.at.flying or held_back,
            has_head=cursor.at.head is not None,
            chain=cursor.chain,
            limits=self._pace.chain_limits,
            rebased=cursor.at.rebased or cursor.at.generation != state.generation,
            refusals=cursor.at.refusals,
        )


def _digest_of(manifest: Manifest | None) -> str:
    return manifest_digest(encode_manifest(manifest)) if manifest is not None else ""
