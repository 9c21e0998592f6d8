"""Metrics: pure functions of arrays, with weights. A figure that has no value is NaN, never a guess.

Everywhere: scores and logits are floating[n], the higher the likelier; labels are floating[n], 0 or 1 unless told
otherwise; weights are floating[n], at least 0, None for 1 each. Sums are float64.
"""
