"""A made-up log of answers and clicks whose truth is known, written as serving writes it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from martlet.eventlog.file_log import FileEventWriter
from martlet.events import Arm, Outcome, Prediction
from martlet.exploration import BEST_FIRST, Exploration
from martlet.feature_encoding import RankInput, encode
from martlet.learn.models import linear
from martlet.manifest import spec_digest
from martlet.wire.events import encode_event
from serving_svc.exploring import order_of

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
MODEL = linear(
    "clicks",
    inputs={"user": ml.Id("user_id"), "item": ml.Id("item_id"), "price": ml.Number("item.price")},
    label=ml.Binary("click", window="60s"),
)
ITEMS = 8


@dataclass(frozen=True)
class Row:
    """An item as it was written: what an oracle may look at."""

    answer: int
    user: int
    item: int
    price: float
    click: float
    logits: dict[int, float]
    version: int
    arm: Arm
    propensity: float


@dataclass(frozen=True)
class ClickLog:
    """Answers of `ITEMS` candidates each, one a second, by version 1 (a good one) and version 2 (a worse one)."""

    seed: int = 0
    answers: int = 300
    users: int = 40
    exploration: Exploration = BEST_FIRST
    taste: float = 0.7  # how much clicks depend on user and item together, which a linear model cannot learn
    bias: float = 0.0  # and on the item alone, which it can
    named: int = 0  # so many of the last answers are of a version that the caller named

    def write(self, folder: Path) -> list[Row]:
        """Appends to the log; gives the rows in the order answered."""
        random, rows = np.random.default_rng(self.seed), list[Row]()
        writer = FileEventWriter(folder, "serving-0")
        taste, charm = random.normal(size=(self.users, 3)), random.normal(size=(30, 3))
        done = []
        for number in range(self.answers):
            user = int(random.integers(self.users))
            items = random.choice(30, ITEMS, replace=False)
            truth = self.taste * (charm[items] @ taste[user]) + self.bias * charm[items, 0] - 1.5
            clicks = random.random(ITEMS) < 1.0 / (1.0 + np.exp(-truth))
            found, events = self._answer(number, user, items, truth, clicks, random)
            rows += found
            done += [writer.append(encode_event(event)) for event in events]
        for one in done:
            one.result(10)
        writer.close()
        return rows

    def _answer(
        self,
        number: int,
        user: int,
        items: npt.NDArray[np.int64],
        truth: npt.NDArray[np.float64],
        clicks: npt.NDArray[np.bool_],
        random: np.random.Generator,
    ) -> tuple[list[Row], list[Prediction | Outcome]]:
        good = (truth + 0.3 * random.normal(size=ITEMS)).astype(np.float32)
        bad = (0.5 * truth + 1.2 * random.normal(size=ITEMS)).astype(np.float32)
        version = 1 if random.random() < 0.7 else 2
        order = order_of(good if version == 1 else bad, ITEMS, self.exploration, f"c-{number}")
        named = number >= self.answers - self.named
        arm = Arm.EXPLICIT if named else Arm.LIVE if version == 1 else Arm.PIN
        prices = [float(item % 7) + 0.5 for item in items[order.rows]]
        shown = [int(item) for item in items[order.rows]]
        time_us = START + number * SECOND
        logits = {1: good[order.rows], 2: bad[order.rows]}
        made = Prediction(
            f"c-{number}", "clicks", time_us, 1, 1, "salt", 5, 9000, arm, version, f"mt1-{version}", user, "s",
            tuple(shown), order.propensities, logits, spec_digest(MODEL.spec),
            encode(MODEL.spec, RankInput(user, {}, shown, [{"item.price": price} for price in prices])), 1,
        )  # fmt: skip
        outcomes = [
            Outcome(f"o-{number}-{row}", f"c-{number}", int(items[row]), "click", 1.0, time_us + 5 * SECOND)
            for row in np.flatnonzero(clicks)
        ]
        propensities = np.full(ITEMS, np.nan) if order.propensities is None else order.propensities
        rows = []
        for place, row in enumerate(order.rows.tolist()):
            given = {number: float(own[place]) for number, own in logits.items()}
            what = (number, user, shown[place], prices[place], float(clicks[row]))
            rows.append(Row(*what, given, version, arm, float(propensities[place])))
        return rows, [made, *outcomes]
