"""A trainer whose labels are wrong for a while: what a broken join upstream of learning would do.

The judge reads the true labels. `DEMO_FLIP=<share>:<first>:<count>:<seed>` names the stretch, in examples taken.
"""

import argparse
import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xxhash

from martlet.runtime.command import add_service_options, exit_code, service_config
from trainer_svc.app import run
from trainer_svc.labelled_rows import Examples, LabelledRows, count

FLIP: str = "DEMO_FLIP"
STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Flip:
    """Turns a share of the labels over, from one example on, for some. The same ones whenever it is asked again."""

    share: float
    first: int
    count: int
    seed: int

    @classmethod
    def of(cls, text: str) -> "Flip":
        """From `share:first:count:seed`."""
        share, first, count, seed = text.split(":")
        return cls(float(share), int(first), int(count), int(seed))

    def prepare(self, examples: Examples, taken: int, /) -> Examples:
        """See `trainer_svc.training_ports.ExamplePreparation`."""
        if taken + count(examples) <= self.first or taken >= self.first + self.count:
            return examples
        prepared: list[LabelledRows] = []
        for group in examples:
            hit = [self._hits(group, row, taken + place) for place, row in enumerate(group.rows.tolist())]
            prepared.append(replace(group, labels=np.where(hit, 1.0 - group.labels, group.labels)))
            taken += len(group)
        return prepared

    def state(self) -> dict[str, Any]:
        """There is none: which labels are turned depends on their numbers alone."""
        return {}

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Nothing to do."""

    def _hits(self, group: LabelledRows, row: int, number: int) -> bool:
        name = f"{self.seed}/{group.prediction.prediction_id}/{row}"
        drawn = xxhash.xxh3_64_intdigest(name.encode())
        return self.first <= number < self.first + self.count and drawn % STEPS < self.share * STEPS


def main() -> int:
    """As `martlet-trainer`, with the fault."""
    parser = argparse.ArgumentParser(prog="faulty-trainer", description="A trainer with wrong labels for a while.")
    add_service_options(parser)
    options = parser.parse_args()

    def serve() -> int:
        asyncio.run(run(service_config(options), options.ports_file, lambda: Flip.of(os.environ[FLIP])))
        return 0

    return exit_code("faulty-trainer", serve)


if __name__ == "__main__":
    raise SystemExit(main())
