"""River's logistic regression with FTRL-proximal, one example at a time; the dictionaries are made beforehand."""

import sys

import numpy as np
from river import linear_model, optim
from rounds import serve


def main() -> None:
    """See the package."""
    data = np.load(sys.argv[1])
    examples = [({f"{i}={value}": 1.0 for i, value in enumerate(row[1:])}, bool(row[0])) for row in data.tolist()]
    model = linear_model.LogisticRegression(optimizer=optim.FTRLProximal(alpha=0.1), l2=0.0)

    def learn_all() -> None:
        for features, label in examples:
            model.predict_proba_one(features)
            model.learn_one(features, label)

    serve(learn_all)


if __name__ == "__main__":
    main()
