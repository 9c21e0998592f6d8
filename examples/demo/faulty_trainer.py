"""A trainer whose labels are wrong for a while: what a broken join upstream of learning would do.

The judge reads the true labels. `DEMO_FLIP=<share>:<first>:<count>:<seed>` names the stretch, in examples taken.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import xxhash

from martlet.runtime.command import add_service_options, exit_code, service_config
from trainer_svc.app import run
from trainer_svc.joiner import Example

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

    def __call__(self, examples: Sequence[Example], taken: int, /) -> Sequence[Example]:
        """See `trainer_svc.training_ports.ExamplePreparation`."""
        if taken + len(examples) <= self.first or taken >= self.first + self.count:
            return examples
        return [
            replace(example, label=1.0 - example.label) if self._hits(example, taken + place) else example
            for place, example in enumerate(examples)
        ]

    def _hits(self, example: Example, number: int) -> bool:
        name = f"{self.seed}/{example.prediction.prediction_id}/{example.row}"
        drawn = xxhash.xxh3_64_intdigest(name.encode())
        return self.first <= number < self.first + self.count and drawn % STEPS < self.share * STEPS


def main() -> int:
    """As `martlet-trainer`, with the fault."""
    parser = argparse.ArgumentParser(prog="faulty-trainer", description="A trainer with wrong labels for a while.")
    add_service_options(parser)
    options = parser.parse_args()

    def serve() -> int:
        asyncio.run(run(service_config(options), options.ports_file, Flip.of(os.environ[FLIP])))
        return 0

    return exit_code("faulty-trainer", serve)


if __name__ == "__main__":
    raise SystemExit(main())
