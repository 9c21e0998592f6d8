"""An operator's word: looked up, decided purely, and done by the controller like any other decision."""

from dataclasses import dataclass

from registry_svc import operator_rules
from registry_svc.catalog import Catalog, above, suspects_of
from registry_svc.controller import Controller
from registry_svc.journal import Decision
from registry_svc.lane import Lane
from registry_svc.lineage import STANDING
from registry_svc.policy import EvidencePolicy, Policies


@dataclass(frozen=True, slots=True)
class Word:
    """Who, and why; and the caller as verified, or ""."""

    who: str
    why: str
    caller: str = ""


class OperatorDesk:
    """Blocking; called from the catalog's thread. Every method raises NotFound for an unknown model."""

    def __init__(self, catalog: Catalog, controller: Controller, policies: Policies) -> None:
        self._catalog = catalog
        self._controller = controller
        self._policies = policies

    def promote(self, model: str, version: int, word: Word) -> None:
        """Makes the candidate, or the structural version under way, the pin.

        Raises:
            Conflict: the version is neither.
        """
        self._controller.obey(
            model,
            word.who,
            lambda lane, now_us: operator_rules.promoted(lane, version, word.why, now_us),
            word.caller,
        )

    def abort(self, model: str, word: Word) -> None:
        """Ends the structural version under way; without one, closes the lane.

        Raises:
            Conflict: there is nothing to end.
        """

        def decide(lane: Lane, now_us: int) -> Decision:
            rules = self._policies.of(model).evidence or EvidencePolicy()
            return operator_rules.aborted(lane, suspects_of(self._catalog, lane), word.why, now_us, rules)

        self._controller.obey(model, word.who, decide, word.caller)

    def pin(self, model: str, version: int, word: Word) -> None:
        """Goes back to an older version.

        Raises:
            NotFound: no such version.
            Conflict: it is not an older version in good standing.
        """
        record = self._catalog.get(model, version)

        def decide(lane: Lane, now_us: int) -> Decision:
            newer = above(self._catalog, model, version)
            gone = [one.version for one in newer if one.state in STANDING and one.version != lane.head.version]
            return operator_rules.pinned(lane, record, gone, word.why, now_us)

        self._controller.obey(model, word.who, decide, word.caller)

    def thaw(self, model: str, word: Word) -> None:
        """Lets a frozen model be published again.

        Raises:
            Conflict: it is not frozen.
        """
        self._controller.obey(
            model, word.who, lambda lane, now_us: operator_rules.thawed(lane, word.why, now_us), word.caller
        )
