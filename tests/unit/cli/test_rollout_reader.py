"""The view and the aspired set are asked for in two calls; what is shown is of one moment."""

from collections.abc import Sequence
from dataclasses import replace

from martlet.rollout_views import RolloutReader
from martlet.rollouts import RolloutView
from martlet.versions import AspiredModel, AspiredSet
from martlet.views import Places
from tests.unit.cli.samples import CALM, SCREEN

NOWHERE = Places("127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:1", "")


class StagedReader(RolloutReader):
    """Sees what is staged, one pair of revisions after another: the view's, and the aspired set's."""

    def __init__(self, *revisions: tuple[int, int]) -> None:
        super().__init__(NOWHERE)
        self._revisions: Sequence[tuple[int, int]] = revisions

    async def _view_and_set(self, model: str, decisions: int) -> tuple[RolloutView, AspiredSet]:
        (seen, told), self._revisions = self._revisions[0], self._revisions[1:]
        own = AspiredModel("shop", 2, told, f"shop/{told}", SCREEN.versions)
        return replace(CALM, revision=seen), AspiredSet((replace(own, model="shoes"), own), 5000)


async def test_a_decision_between_the_calls_makes_it_ask_again() -> None:
    async with StagedReader((8, 9), (9, 9)) as reader:
        found = await reader.read("shop", 10)
    assert (found.view.revision, found.salt) == (9, "shop/9")


async def test_a_model_that_changes_all_the_time_is_shown_as_it_was_seen() -> None:
    async with StagedReader((8, 9), (10, 11), (12, 13)) as reader:
        found = await reader.read("shop", 10)
    assert (found.view.revision, found.salt) == (12, "shop/13")
