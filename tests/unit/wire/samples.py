"""Values for the codecs' tests."""

from array import array

import numpy as np
from hypothesis import strategies as st

from martlet.events import Arm, Prediction
from martlet.feature_spec import FeatureBlock

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
UINT64 = st.integers(0, (1 << 64) - 1)
IDS = st.one_of(INT64, st.text(max_size=20))
NUMBERS = st.floats(allow_nan=False)
FLOAT32 = st.floats(width=32, allow_nan=False)
VECTORS = st.lists(FLOAT32, max_size=4).map(lambda numbers: array("f", numbers))
VALUES = st.one_of(IDS, NUMBERS, st.lists(IDS, max_size=4), VECTORS)
FEATURES = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


def prediction(n: int) -> Prediction:
    """A prediction of n items."""
    rng = np.random.default_rng(n)
    features = FeatureBlock(
        rng.integers(-(1 << 62), 1 << 62, (1, 23)),
        rng.normal(size=(1, 2)).astype(np.float32),
        rng.integers(-(1 << 62), 1 << 62, (n, 2)),
        rng.normal(size=(n, 3)).astype(np.float32),
        np.zeros(n, np.int64),
    )
    return Prediction(
        prediction_id="serving-0-1",
        model="shop",
        time_us=1_700_000_000_000_000,
        epoch=3,
        revision=4,
        salt="salt",
        bucket=17,
        weight=9000,
        arm=Arm.LIVE,
        version=12,
        digest="d" * 64,
        user_id=77,
        session_id="",
        item_ids=tuple(range(n)),
        propensities=None,
        scores={12: rng.normal(size=n).astype(np.float32)},
        spec_digest="e" * 64,
        features=features,
    )
