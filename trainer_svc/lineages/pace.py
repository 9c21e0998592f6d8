"""How much a lineage reads at a time, and how often it does things, from the settings."""

from typing import Final

from martlet.runtime.config import Config
from trainer_svc.loop_settings import Pace
from trainer_svc.publish_policy import ChainLimits

CACHE_BYTES: Final = 256 << 20  # of memory: about half of it is the records' own bytes where they are small
RECORDS_FOR_AN_EXAMPLE: Final = 2  # mostly a prediction and an outcome: so a full step makes about one full batch
# Examples of one step when the trainer is behind, about: enough that the last batch, which is not full, costs little,
# and so few that versions and checkpoints need not wait long for the step's end.
STEP_EXAMPLES: Final = 8192
BATCHES_OF_A_STEP: Final = 2


def pace_of(config: Config) -> Pace:
    """How often the loop does things."""
    settings = config.trainer
    return Pace(
        RECORDS_FOR_AN_EXAMPLE * settings.batch_examples,
        settings.publish_interval_ms / 1000,
        ChainLimits(settings.chain_limit, settings.chain_bytes_share),
        settings.checkpoint_interval_seconds,
        step_weight(settings.batch_examples),
    )


def step_weight(batch_examples: int) -> int:
    """See `Pace.weight`."""
    return max(BATCHES_OF_A_STEP * batch_examples, STEP_EXAMPLES)
