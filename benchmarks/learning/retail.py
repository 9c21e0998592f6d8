"""Which of two goods did this customer buy? Online Retail as a stream of examples."""

from collections import deque
from typing import Final

import numpy as np
import numpy.typing as npt

import martlet.learn as ml
from benchmarks.learning.examples import Examples, Lists
from benchmarks.learning.liking import RECENT, Liking
from benchmarks.learning.publishing import Stream
from benchmarks.learning.retail_log import sales

Int64s = npt.NDArray[np.int64]
_BATCH: Final = 256


def retail(tested: float, seed: int) -> Liking | None:
    """Each purchase, and beside it one other item drawn from all earlier purchases, so that popular ones come often.

    Nobody was shown the other: it says what the customer did not buy, not what they declined. None where the log is
    not at hand.
    """
    log = sales()
    if log is None:
        return None
    n, random = len(log.items), np.random.default_rng(seed)
    drawn = log.items[(random.random(n) * np.arange(n)).astype(np.int64)]
    items = np.column_stack([log.items, drawn]).reshape(-1)
    labels = np.tile(np.array([1.0, 0.0], np.float32), n)
    recent = recently_bought(log.users, log.items, log.times)
    columns = {
        "user": np.repeat(log.users, 2),
        "item": items,
        "country": np.repeat(log.countries, 2),
        "recent": Lists(np.repeat(recent.ids, 2, axis=0), np.repeat(recent.counts, 2)),
    }
    model = _model(seed)
    examples, times = Examples(model.spec, columns, labels), np.repeat(log.times, 2)
    start = int(np.searchsorted(times, times[int(2 * n * (1 - tested))]))  # no invoice is cut in two
    invoices = np.unique(np.column_stack([columns["user"], times]), axis=0, return_inverse=True)[1].reshape(-1)
    return Liking(model, Stream(examples, times, start), columns["user"], invoices, _BATCH)


def recently_bought(users: Int64s, items: Int64s, times: Int64s) -> Lists:
    """The last items of each example's user before this invoice, the latest first."""
    ids, counts = np.zeros((len(users), RECENT), np.int64), np.zeros(len(users), np.int64)
    known: dict[int, deque[int]] = {}
    basket: dict[int, tuple[int, list[int]]] = {}
    for place, (user, item, time) in enumerate(zip(users.tolist(), items.tolist(), times.tolist(), strict=True)):
        recent = known.setdefault(user, deque(maxlen=RECENT))
        begun, bought = basket.setdefault(user, (time, []))
        if begun != time:
            recent.extendleft(bought)
            bought = []
            basket[user] = (time, bought)
        counts[place] = len(recent)
        ids[place, : len(recent)] = list(recent)
        bought.append(item)
    return Lists(ids, counts)


def _model(seed: int) -> ml.Model:
    return ml.model_of(
        "retail",
        ml.DeepFM,
        inputs={
            "user": ml.Id("user_id", space=f"user-{seed}"),
            "item": ml.Id("item_id", space=f"item-{seed}"),
            "country": ml.Id("country"),
            "recent": ml.IdList("recent_items", space=f"recent-{seed}", max_len=RECENT, pool="mean"),
        },
        label=ml.Binary("purchase", window="1h"),
        dense=ml.Adam(1e-3),
        rows=ml.RowWiseAdaGrad(0.05),
        dim=8,
        hidden=(32,),
    )
