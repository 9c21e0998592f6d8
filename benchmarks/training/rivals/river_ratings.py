"""river on a log of ratings, one event at a time: predict, then learn.

A round is its biased matrix factorisation as its documentation has it for MovieLens 100K. Before the first, its linear
regression learns once from the numbers that Martlet's model reads. The predictions of both are left beside the events
(`<name>.biased_mf.npy`, `<name>.linear.npy`). The events: float64[n, 4 + numbers], first user, item, rating and what
the regression adds to.
"""

import sys
from pathlib import Path

import numpy as np
from river import linear_model, optim, preprocessing, reco
from rounds import serve

LOWEST, HIGHEST = 1.0, 5.0


def factorised(events: list[tuple[int, int, float]]) -> list[float]:
    """One pass with the settings of river's tutorial: what was predicted of each rating."""
    model = preprocessing.PredClipper(
        regressor=reco.BiasedMF(
            n_factors=10,
            bias_optimizer=optim.SGD(0.025),
            latent_optimizer=optim.SGD(0.05),
            weight_initializer=optim.initializers.Zeros(),
            latent_initializer=optim.initializers.Normal(mu=0.0, sigma=0.1, seed=73),
            l2_bias=0.0,
            l2_latent=0.0,
        ),
        y_min=LOWEST,
        y_max=HIGHEST,
    )
    predictions = []
    for user, item, rating in events:
        predictions.append(model.predict_one(x={}, user=user, item=item))
        model.learn_one(x={}, y=rating, user=user, item=item)
    return predictions


def linear(rows: list[list[float]]) -> list[float]:
    """One pass over numbers and ids, the ids as indicators."""
    model, predictions = linear_model.LinearRegression(optim.AdaGrad(0.05)), []
    for user, item, rating, base, *numbers in rows:
        x = dict(enumerate(numbers)) | {f"u{int(user)}": 1.0, f"i{int(item)}": 1.0}
        predictions.append(min(HIGHEST, max(LOWEST, base + model.predict_one(x))))
        model.learn_one(x, rating - base)
    return predictions


def main() -> None:
    """See the package."""
    path = Path(sys.argv[1])
    rows = np.load(path).tolist()
    events = [(int(user), int(item), rating) for user, item, rating, *_ in rows]
    np.save(path.with_suffix(".linear.npy"), linear(rows))
    np.save(path.with_suffix(".biased_mf.npy"), factorised(events))

    def learn_all() -> None:
        factorised(events)

    serve(learn_all)


if __name__ == "__main__":
    main()
