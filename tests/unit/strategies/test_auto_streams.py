"""`auto` keeps up with the best fixed strategy, whatever the stream does."""

from dataclasses import replace

import pytest

from benchmarks.learning.strategy_race import AUTO, MADE_UP, loss_of, made_up, race


@pytest.mark.parametrize("name", MADE_UP)
def test_auto_is_within_five_percent_of_the_best_fixed_strategy(name: str) -> None:
    track = made_up(MADE_UP[name], seed=3)
    results = race(track, auto=replace(AUTO, retrain_share=100.0))  # whenever it is called for, at any cost
    losses = {strategy: loss_of(track, result) for strategy, result in results.items()}
    best = min(loss for strategy, loss in losses.items() if strategy != "auto")
    assert losses["auto"] <= 1.05 * best, losses
    assert set(results["auto"].chosen) <= {"incremental", "fine_tune", "full_retrain"}
    if name == "stationary":
        assert losses["frozen"] <= 1.2 * best, "nothing changes"
    else:
        assert losses["frozen"] > 1.1 * best, "what stands still falls behind"
