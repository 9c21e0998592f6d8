"""From log records to examples: cleaning, deduplication, event time, joining. A function of the records alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from martlet.errors import Corrupt, InvalidInput
from martlet.events import Outcome
from martlet.feature_encoding import ItemId
from martlet.feature_spec import FeatureSpec
from martlet.learn.labels import LabelRule
from martlet.wire.events import decode_event
from martlet.wire.projected import RecordReader
from martlet.wire.recorded import RecordedPrediction, RecordKind, record_kind, user_key_of
from trainer_svc.cleaning import fault_of_outcome, fault_of_time
from trainer_svc.deduplication import Deduplication, Sighting
from trainer_svc.event_source import Cut, Place
from trainer_svc.held_predictions import Standing
from trainer_svc.hygiene.screening import Screening
from trainer_svc.joiner import DeadLetter, Joined, Joiner
from trainer_svc.outcome_account import AccountState, DeadReason, OutcomeAccount
from trainer_svc.parsed_predictions import ParsedPredictions

# A record may reach the log a little after its event time.
LATENESS_US: Final = 2_000_000

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """Whose events these are: the model, the spec of its features, its label; and how long event ids are remembered.

    Attributes:
        earlier: specs that the model had before; what they laid out is read as far as it is the same.
    """

    model: str
    spec: FeatureSpec
    label: LabelRule
    dedup_window_us: int
    earlier: tuple[FeatureSpec, ...] = ()


class _Counts(msgspec.Struct):
    watermark_us: int
    latest_us: dict[str, int]
    account: AccountState
    repeated_predictions: int


_NONE: Final = np.empty(0, np.uint64)
# Made once, at import: two threads must not learn a type at the same moment (see `trainer_svc.journal`).
_COUNTS: Final = msgspec.msgpack.Decoder(_Counts)


class Intake:
    """Takes records in. Not thread-safe.

    Args:
        fetch: a record of the log again, by its place.
        mature: labels come when they are mature (see `trainer_svc.joiner`), to be judged by.
        screening: which events teach nothing; None: all teach.

    Attributes:
        account: where each outcome went.
        watermark_us: event time has come so far.
    """

    def __init__(
        self,
        rules: IntakeRules,
        fetch: Callable[[Place], bytes],
        *,
        mature: bool = False,
        screening: Screening | None = None,
    ) -> None:
        self._screening = screening
        self._rules = rules
        self._read = RecordReader(rules.spec, rules.earlier)
        self._spec_digest = self._read.digest
        self._scores_alone = mature
        self._layout = rules.spec.layout
        self.account = OutcomeAccount()
        self._deduplication = Deduplication(rules.label.window_us + rules.dedup_window_us)
        self._parsed = ParsedPredictions(fetch, read=self._read)
        self._joiner = Joiner(rules.label, self._parsed.get, self.account, mature=mature, screening=screening)
        self.watermark_us = 0
        self._latest_us: dict[str, int] = {}
        self._letters: list[DeadLetter] = []
        self._forgotten: dict[ItemId, Mapping[str, int]] = {}
        self._backfilled, self._since_us = _NONE, 0
        self.repeated_predictions = 0

    @property
    def pending(self) -> int:
        """Outcomes that wait for their prediction."""
        return self._joiner.pending

    @property
    def held(self) -> int:
        """Predictions that are remembered."""
        return self._joiner.held

    @property
    def expired(self) -> int:
        """Predictions whose window ended without an explicit label."""
        return self._joiner.expired

    @property
    def times_us(self) -> dict[str, int]:
        """Partition → the newest event time of a prediction in it."""
        return dict(self._latest_us)

    def is_due(self, now_us: int) -> bool:
        """Whether time alone, with no new record, would end something."""
        due = self._joiner.next_due_us
        return due is not None and due <= now_us - LATENESS_US

    def take_in(self, place: Place, payload: bytes, now_us: int) -> RecordedPrediction | None:
        """Takes one record in; gives it back if it is a prediction that can be learned from."""
        kind = record_kind(payload)
        try:
            if kind is RecordKind.PREDICTION:
                return self._take_prediction(place, payload, now_us)
            if kind is RecordKind.OUTCOME:
                self._take_outcome(place, payload, now_us)
            elif kind is RecordKind.UNKNOWN:
                self._bury(DeadReason.UNREADABLE, "a record of no known kind", place)
        except (Corrupt, InvalidInput) as error:
            self._bury(DeadReason.UNREADABLE, str(error), place, outcome=kind is RecordKind.OUTCOME)
        return None

    def finish(self, cut: Cut, now_us: int) -> Joined:
        """All records of a cut are in: moves event time on, and gives what was joined."""
        self._move_watermark(cut, now_us)
        self._deduplication.forget(self.watermark_us)
        self._joiner.advance(self.watermark_us)
        if self._screening is not None:
            self._screening.advance(self.watermark_us)
        joined = self._joiner.take()
        joined.letters[:0] = self._letters
        self._letters = []
        return joined

    def forget(self, user_id: ItemId) -> None:
        """Open predictions of a user are learned no more."""
        self._joiner.forget(lambda prediction: prediction.user_id == user_id)
        if self._screening is not None:
            self._screening.forget(user_key_of(user_id))

    def pass_over(self, users: Mapping[ItemId, Mapping[str, int]]) -> None:
        """From now on predictions of these users are not learned where they stand before partition → position."""
        self._forgotten = dict(users)

    def backfilled(self, predictions: npt.NDArray[np.uint64], since_us: int) -> None:
        """Passes over what a history held: these (XXH3-64 of their ids, ascending), and what is older than a time."""
        self._backfilled, self._since_us = predictions, since_us

    def state(self) -> Arrays:
        """For a checkpoint, between two steps. Who is passed over is not part of it."""
        counts = _Counts(self.watermark_us, self._latest_us, self.account.state(), self.repeated_predictions)
        arrays: Arrays = {"counts": np.frombuffer(msgspec.msgpack.encode(counts, order="sorted"), np.uint8)}
        arrays |= {f"joiner/{name}": array for name, array in self._joiner.state().items()}
        if self._backfilled.shape[0] or self._since_us:
            arrays |= {"backfilled": self._backfilled, "since": np.array(self._since_us, np.int64)}
        if self._screening is not None:
            arrays |= {f"screening/{name}": array for name, array in self._screening.state().items()}
        return arrays | {f"seen/{slot}": names for slot, names in self._deduplication.state().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        counts = _COUNTS.decode(state["counts"].tobytes())
        self.watermark_us, self._latest_us = counts.watermark_us, counts.latest_us
        self.repeated_predictions = counts.repeated_predictions
        self.account.restore(counts.account)
        self._backfilled = np.array(state.get("backfilled", _NONE), np.uint64)
        self._since_us = int(np.asarray(state.get("since", 0), np.int64))
        self._joiner.restore(_part(state, "joiner/"))
        self._deduplication.restore(_part(state, "seen/"))
        if self._screening is not None:
            self._screening.restore(_part(state, "screening/"))

    def _take_prediction(self, place: Place, payload: bytes, now_us: int) -> RecordedPrediction | None:
        prediction = self._read(payload)
        fault = fault_of_time(prediction.time_us, now_us)
        if fault:
            raise InvalidInput(f"prediction {prediction.prediction_id}: {fault}")
        standing = self._standing(prediction, place)
        if standing is Standing.OPEN:
            self._check(prediction)
            if self._screening is not None and self._screening.turns_away_prediction(prediction):
                standing = Standing.BOT
        latest = self._latest_us.get(place.partition, 0)
        self._latest_us[place.partition] = max(latest, prediction.time_us)
        if not self._joiner.add_prediction(prediction, place, standing):
            self.repeated_predictions += 1
            return None
        self._parsed.keep(place, prediction, len(payload))
        return prediction if standing is Standing.OPEN else None

    def _standing(self, prediction: RecordedPrediction, place: Place) -> Standing:
        if self._forgotten:
            user = prediction.user_id
            if user is not None and place.start < self._forgotten.get(user, {}).get(place.partition, 0):
                return Standing.FORGOTTEN
        if prediction.model != self._rules.model:
            return Standing.OTHER_MODEL
        if prediction.time_us < self._since_us or self._is_backfilled(prediction.prediction_id):
            return Standing.BACKFILLED
        known = self._scores_alone or prediction.spec_digest == self._spec_digest
        return Standing.OPEN if known else Standing.OTHER_SPEC

    def _is_backfilled(self, prediction_id: str) -> bool:
        if not self._backfilled.shape[0]:
            return False
        name = np.uint64(xxhash.xxh3_64_intdigest(prediction_id.encode()))
        place = int(np.searchsorted(self._backfilled, name))
        return place < self._backfilled.shape[0] and bool(self._backfilled[place] == name)

    def _check(self, prediction: RecordedPrediction) -> None:
        """The judge reads scores alone, so it judges answers of any features."""
        if prediction.spec_digest == self._spec_digest:
            prediction.check(self._layout)
        else:
            prediction.check_scores()

    def _take_outcome(self, place: Place, payload: bytes, now_us: int) -> None:
        outcome = decode_event(payload)
        assert isinstance(outcome, Outcome)
        fault = fault_of_outcome(outcome, now_us)
        time_us = now_us if fault else outcome.time_us  # a senseless time would be forgotten at once, or never
        sighting = self._deduplication.see(outcome.event_id, time_us, self.watermark_us)
        if sighting is Sighting.REPEATED:
            self.account.duplicates += 1
        elif fault:
            self._bury(DeadReason.SENSELESS, fault, place, outcome=True)
        elif sighting is Sighting.NEW:
            self._joiner.add_outcome(outcome, place, self.watermark_us)
        else:
            self._bury(DeadReason.TOO_OLD, "too old to tell whether it is a repetition", place, outcome=True)

    def _move_watermark(self, cut: Cut, now_us: int) -> None:
        """Partitions that are read to their end do not hold event time back: an idle one must not stall it."""
        reached = min(self._latest_us.get(name, 0) for name in cut.behind) if cut.behind else now_us
        self.watermark_us = max(self.watermark_us, reached - LATENESS_US)

    def _bury(self, reason: DeadReason, text: str, place: Place, *, outcome: bool = False) -> None:
        self._letters.append(DeadLetter(reason, text, place))
        if outcome:
            self.account.dead_lettered[reason] += 1


def _part(state: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
