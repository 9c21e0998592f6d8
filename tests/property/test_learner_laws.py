"""Laws of the learner: a restore is no break, and a lookup is a dictionary's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

import martlet.learn as ml
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import space_salt, wrap_int64
from martlet.learn import ModelTable
from tests.unit.learner.rich import RICH_INPUTS
from tests.unit.learner.samples import LABEL, NOW_US
from trainer_svc.check import differing
from trainer_svc.id_lookup import TableLookup
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch, made_up_block

COUNTED = {**RICH_INPUTS, "item": ml.Id("item_id", min_count=2)}
MODEL = ml.model_of("m", ml.DeepFM, inputs=COUNTED, label=LABEL, dim=3, hidden=(4,))
Step = tuple[str, int]


@st.composite
def specs(draw: st.DrawFn) -> tuple[FeatureSpec, ModelTable]:
    """Id features of one width on both sides, sharing spaces or not, with a number among them."""
    features: list[Feature] = []
    for position in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from([FeatureKind.ID, FeatureKind.ID_LIST]))
        features.append(
            Feature(
                f"f{position}",
                f"source{position}",
                kind,
                draw(st.sampled_from(list(Side))),
                space=draw(st.sampled_from(["a", "b"])),
                width=1,
                max_len=draw(st.integers(1, 4)) if kind is FeatureKind.ID_LIST else 1,
            )
        )
    names = tuple(feature.name for feature in features)
    features.insert(draw(st.integers(0, len(features))), Feature("x", "x", FeatureKind.NUMBER, Side.ITEM))
    return FeatureSpec(tuple(features), {space: space_salt(space) for space in "ab"}), ModelTable("t1", 1, names)


@given(specs(), st.integers(0, 2**32), st.integers(0, 6), st.integers(1, 4))
@settings(deadline=None)
def test_a_lookup_gives_every_id_its_key_and_its_place(
    made: tuple[FeatureSpec, ModelTable], seed: int, rows: int, users: int
) -> None:
    spec, table = made
    block = made_up_block(spec, np.random.default_rng(seed), rows, users)
    lookup = TableLookup(spec, table, {"a": 0, "b": 1})
    ids = lookup.ids(block)
    for values, of in ((ids.keys, key_of), (ids.specials, special_of), (ids.spaces.astype(np.int64), space_of)):
        spread = lookup.spread(ids.placed(values, -7), block)
        assert spread.tolist() == [
            of(spec, table, feature, value) if present else -7
            for feature in lookup.features
            for value, present in by_hand(spec, block, feature)
        ]
    assert ids.keys.shape[0] <= ids.size
    assert ids.keys.shape == ids.spaces.shape == ids.specials.shape


def by_hand(spec: FeatureSpec, block: FeatureBlock, feature: Feature) -> list[tuple[int, bool]]:
    """Each example's ids of a feature with padding, and whether each is one."""
    first, found = spec.layout.first_column[feature.name], []
    for row in range(block.rows):
        user = int(block.row_of_user[row])
        values = block.user_ids[user] if feature.side is Side.USER else block.item_ids[row]
        if feature.kind is FeatureKind.ID:
            found.append((int(values[first]), True))
            continue
        places = range(feature.max_len)
        found += [(int(values[first + 1 + place]), place < int(values[first])) for place in places]
    return found


def key_of(spec: FeatureSpec, _table: ModelTable, feature: Feature, value: int) -> int:
    return wrap_int64(value + spec.salts[feature.space])


def special_of(_spec: FeatureSpec, table: ModelTable, feature: Feature, _value: int) -> int:
    return 1 + table.features.index(feature.name)


def space_of(_spec: FeatureSpec, _table: ModelTable, feature: Feature, _value: int) -> int:
    return "ab".index(feature.space)


@dataclass
class Run:
    """A learner that takes steps: `learn` with a seed, `evict` after hours, `score`."""

    learner: Learner
    losses: list[float]

    def take(self, step: Step) -> None:
        verb, number = step
        random = np.random.default_rng(number)
        actions: dict[str, Callable[[], object]] = {
            "learn": lambda: self.losses.append(
                self.learner.learn(made_up_batch(MODEL.spec, random, 1 + number % 40), NOW_US + number * 10**6)
            ),
            "evict": lambda: self.losses.append(self.learner.evict(NOW_US + number * 3_600_000_000)),
            "score": lambda: self.learner.predict(made_up_block(MODEL.spec, random, 5, 2)),
        }
        actions[verb]()


STEPS = st.lists(
    st.tuples(st.sampled_from(["learn", "learn", "learn", "evict", "score"]), st.integers(0, 5000)), max_size=8
)


@given(STEPS, STEPS)
@settings(deadline=None, max_examples=40)
def test_a_restore_is_no_break(before: list[Step], after: list[Step]) -> None:
    whole, first = Run(Learner(MODEL, 8), []), Run(Learner(MODEL, 8), [])
    for step in before:
        whole.take(step)
        first.take(step)
    saved = {name: np.array(array) for name, array in first.learner.state().items()}
    second = Run(Learner(MODEL, 8), list(first.losses))
    for step in (("learn", 1), *after):  # what the second learner did before must not shine through
        second.learner.learn(made_up_batch(MODEL.spec, np.random.default_rng(step[1]), 3), NOW_US)
    second.learner.restore(saved)
    for step in after:
        whole.take(step)
        if step[0] != "score":  # and scoring between steps leaves no trace
            second.take(step)
    assert differing(whole.learner, second.learner) == []
    assert whole.learner.generation == second.learner.generation
    np.testing.assert_array_equal(whole.losses, second.losses)
    assert same_logits(whole.learner, second.learner)


def same_logits(one: Learner, other: Learner) -> bool:
    block = made_up_block(MODEL.spec, np.random.default_rng(0), 9, 3)
    logits: list[npt.NDArray[np.float32]] = [learner.predict(block) for learner in (one, other)]
    return logits[0].tobytes() == logits[1].tobytes()
