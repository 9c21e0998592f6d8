"""The long form as a page."""

from pathlib import Path
from typing import Any

HEAD = """# The judge: error rates, power, cost

Simulated worlds whose users cluster (half of a version's error belongs to the session); whole sessions are the units;
a look after every unit. Simulations are vectorised; `agreement` says how far they are from the code that ships, on the
same labels. Rivals are shapes of rules, not products: they see each arm's own log-loss in windows of 400 labels at a
share of 10 %, and their thresholds are tuned to the level that the judge promises. A figure that misses its target is
published as missed. The paired processes under `curse` are the shipped formulas over pairs, not checked by `agreement`.

`make bench-judge` writes this page; `QUICK=1` measures the same with fewer runs and leaves the page alone. {size}

| figure | value | unit | target | met |
|---|---|---|---|---|
"""


def render(entries: dict[str, dict[str, Any]], size: str, path: Path) -> None:
    """Writes the page. `size` says how much was measured."""
    lines = [
        f"| {name} | {'never' if entry['value'] is None else entry['value']} | {entry['unit']} "
        f"| {entry['target'] or ''} | {'' if entry['met'] is None else 'yes' if entry['met'] else '**missed**'} |"
        for name, entry in entries.items()
        if not name.startswith("replay.")
    ]
    path.write_text(HEAD.format(size=size) + "\n".join(lines) + "\n")
