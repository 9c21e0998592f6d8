"""Re-admission: what an alarm took back is learned again on a branch, which takes the structural road.

Only once that version has been promoted does the live lineage learn the range again.
"""

import queue
from concurrent.futures import Future
from dataclasses import replace

import martlet
from martlet.errors import MartletError, NotReady
from martlet.manifest import VersionKind
from trainer_svc.journal import Began, Offered, Published
from trainer_svc.publisher import Offer, Publisher
from trainer_svc.restorer import Restorer
from trainer_svc.version_cursor import CursorState


class Readmissions:
    """Requests, one at a time. `ask` may be called from any thread; everything else on the loop's."""

    def __init__(self, restorer: Restorer, publisher: Publisher) -> None:
        self._restorer = restorer
        self._publisher = publisher
        self._requests: queue.SimpleQueue[tuple[int, Future[Offer]]] = queue.SimpleQueue()
        self._under_way: tuple[int, Future[Offer], Future[Offer]] | None = None

    def ask(self, epoch: int) -> "Future[Offer]":
        """Asks for the range that was taken back when an epoch began.

        The future raises NotFound if no alarm began it, Conflict if it cannot be offered.
        """
        asked: Future[Offer] = Future()
        self._requests.put((epoch, asked))
        return asked

    def begin(self, began: Began, at: CursorState) -> None:
        """Makes the branch of the next request: the head, with the range learned on top. Blocking, for seconds."""
        if self._under_way is not None or self._requests.empty():
            return
        epoch, asked = self._requests.get()
        try:
            branch = self._restorer.branch(at.published, at.version, epoch)
        except MartletError as error:
            asked.set_exception(error)
            return
        number = branch.cursor.at.number + 1
        payload = branch.take_off(Published(number, VersionKind.SNAPSHOT, martlet.__version__))
        lineage = replace(payload.lineage, lineage=f"{began.lineage}/readmitted-{epoch}", epoch=at.epoch)
        self._under_way = (epoch, self._publisher.offer(replace(payload, lineage=lineage)), asked)

    def offered(self) -> Offered | None:
        """What the registry has taken, once; it is to be journalled, then `confirm` tells who asked."""
        if self._under_way is None or not self._under_way[1].done():
            return None
        epoch, offering, asked = self._under_way
        error = offering.exception()
        if error is not None:
            self._under_way = None
            asked.set_exception(error)
            return None
        return Offered(epoch, offering.result().digest)

    def confirm(self) -> None:
        """It is journalled."""
        if self._under_way is not None:
            (_, offering, asked), self._under_way = self._under_way, None
            asked.set_result(offering.result())

    def abandon(self) -> None:
        """Learning goes on in another lineage, which never learned what was taken back here."""
        while not self._requests.empty():
            self._requests.get()[1].set_exception(NotReady("learning goes on in another lineage"))
