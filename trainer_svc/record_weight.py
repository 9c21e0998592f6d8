"""About how many examples a log record will make, from its size alone: parsing it would cost as much as using it."""

from collections.abc import Callable
from typing import Final

from martlet.feature_spec import FeatureLayout
from martlet.learn.labels import LabelRule

_RECORD_BYTES: Final = 250  # names and digests of a prediction
_ROW_BYTES: Final = 10  # an item's id and one logit


def weigher(layout: FeatureLayout, label: LabelRule) -> Callable[[bytes], int] | None:
    """Weighs records by their item rows, at least 1. None for explicit labels, where each outcome makes one example."""
    if label.explicit:
        return None
    own = _RECORD_BYTES + 8 * layout.user_id_columns + 4 * layout.user_number_columns
    row = _ROW_BYTES + 8 * layout.item_id_columns + 4 * layout.item_number_columns
    return lambda payload: max(1, (len(payload) - own) // row)
