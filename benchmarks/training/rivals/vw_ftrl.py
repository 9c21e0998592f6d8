"""Vowpal Wabbit by its Python interface, FTRL-proximal; the lines are made beforehand. It predicts as it learns."""

import sys

import numpy as np
from rounds import serve
from vowpalwabbit import Workspace


def main() -> None:
    """See the package."""
    data = np.load(sys.argv[1])
    lines = [
        f"{1 if row[0] else -1} | " + " ".join(f"{i}={value}" for i, value in enumerate(row[1:]))
        for row in data.tolist()
    ]
    model = Workspace("--ftrl --ftrl_alpha 0.1 --loss_function logistic -b 24 --quiet")

    def learn_all() -> None:
        for line in lines:
            model.learn(line)

    serve(learn_all)


if __name__ == "__main__":
    main()
