"""The page's section about replays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TITLE = "\n## Replays of real logs with planted faults\n"

HEAD = """
{seeds} seeds each (order, delays, the learner's first weights). The learner's rate was chosen on seed 1 by log-loss;
nothing else was tuned. What decides is the code that ships with its default policy: the lane's judge, the lane's rules
(share, pin, alarm, freeze), the traffic split. Labels come 50 to 500 events late. Every request is scored by head, pin
and candidate when it is answered, before anything of it is learned. The learner stands in for the trainer: a
factorisation machine (dim 8, row-wise AdaGrad), a version each 400 labels; after an alarm it goes back to the pin and
skips what it had learned since. **The trainer's gate, which looks at a version's scores before it is published, is not
there: this is what the judge does alone.** About 200 users are active at a time; an event is a second.
`python -m benchmarks.judge replays` measures this section alone.

- `movielens`: MovieLens 100K, liked (4 stars or more) or not. Its segment: science fiction.
- `online_retail`: UCI Online Retail, the first 50,000 purchases of goods in that order, and beside each **one sampled
  item that this customer never bought**, drawn evenly: the log has no impressions, so these labels are easier than real
  ones. Its segment: customers outside the United Kingdom. It is read from `.cache/datasets/online_retail.parquet`
  (columns user_id, item, event_type, country) if that and pyarrow are there, and is left out otherwise.

Faults begin at label 30,000 and last as many labels as their name says; `stale_rows` lasts. Flips, noise, lost
positives and `swapped_training` touch what is learned; the judge sees true labels but for `upstream_flip`.
`swapped_serving`, `zeroed_rows` (every second item), `stale_rows` (the same) and `scale_10` touch the versions that are
published meanwhile.

- *caught*: runs with an alarm within 15,000 labels. *labels*: until the first one, of runs that were caught.
- *bad answers*: answers by a head with the fault in it until the first alarm or for 15,000 labels, of all runs.
- *pin before*: runs whose pin had moved to a version with the fault in it before the first alarm.
- *log-loss*: by true labels, in these 15,000 (healthy: in all).
- *harm*: nats that all answers of these 15,000 labels lost against the same stream without the fault (median); and what
  they would have lost with nobody to judge, which is the same loop with a margin of 100 nats.
"""

COLUMNS = """
### {dataset}

| fault | caught | labels, median / max | bad answers, median / max | pin before | pin moves \
| log-loss served / head / pin | harm: judged / not |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
### What is missed, and why

- **Small harm in small steps** (`noise_20`, `flip_1000`, `stale_rows`; `swapped_training` on MovieLens): the head
  falls little, and it had a lead over an older pin, so that it is not worse than the pin by the margin for long
  enough. Each certificate allows a margin, so the pin follows. The judge hardly lowers the harm here, and it has a
  price: a healthy head that ramps up behind a pin serves a little worse than a head that always serves.
- **The pin moves before the alarm** (`half_flip`, and `flip_5000` on Online Retail in some runs): a candidate of the
  first few hundred sabotaged labels is still as good as the pin, and is certified so. The certificate is right; what
  the candidate has learned is not. The alarm then goes back to a pin that holds a little of the fault.
- **`zeroed_rows` on MovieLens**: the share steps back by its warning, few are answered by the bad head, and in most
  runs the fault ends before an alarm.
- **`upstream_flip`**: judge and learner believe the same wrong labels, so a head that learns them looks better, and
  pins follow. Most alarms come after the damage, when the labels turn right again, and go back to a pin that is bad
  too; the few early ones (Online Retail, within 1,000 labels) come while the heads have learned few of the wrong
  labels. No comparison of versions can be relied on here; checks of the labels themselves can (their rate, a trusted
  source).
- **`segment_flip`**: the segment has a few hundred of the 5,000 labels, and even within it head and pin differ by
  less than the margin (`segment_head_minus_pin` in the JSON): what the segment shares with all others carries its
  scores, and the head's lead hides the rest. A process for each segment would have the same margin and a tenth of the
  labels, and the price of many processes (A grows with their number). It would not pay for a fault like this one; it
  might for a segment whose head is wrong by far more than the margin and that has thousands of labels while the fault
  lasts.
- **After four alarms without a move of the pin the lane is frozen** until an operator thaws it, and here none does:
  the harm of `scale_10` is mostly that of an ageing pin, after a few dozen bad answers.
"""


def render_replays(entries: Mapping[str, Mapping[str, Any]], seeds: int, path: Path) -> None:
    """Puts the section at the end of the page, in the place of the one before; what stands above it stays."""
    replayed = {name: entry for name, entry in entries.items() if name.startswith("replay.")}
    datasets = dict.fromkeys(name.split(".")[1] for name in replayed)
    parts = [TITLE, HEAD.format(seeds=seeds), _targets(replayed)]
    parts += [_table(replayed, dataset) for dataset in datasets]
    path.write_text(path.read_text().split(TITLE)[0] + "".join(parts) + TAIL)


def _targets(entries: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        f"| {name} | {_text(entry['value'])} | {entry['unit']} | {entry['target']} "
        f"| {'yes' if entry['met'] else '**missed**'} |"
        for name, entry in entries.items()
        if entry["target"]
    ]
    return "\n| figure | value | unit | target | met |\n|---|---|---|---|---|\n" + "\n".join(lines) + "\n"


def _table(entries: Mapping[str, Mapping[str, Any]], dataset: str) -> str:
    faults = dict.fromkeys(name.split(".")[2] for name in entries if name.startswith(f"replay.{dataset}."))
    return COLUMNS.format(dataset=dataset) + "".join(_line(entries, f"replay.{dataset}.{fault}") for fault in faults)


def _line(entries: Mapping[str, Mapping[str, Any]], place: str) -> str:
    def value(name: str, digits: int = 0) -> str:
        return _text(entries[f"{place}.{name}"]["value"], digits)

    runs = int(entries[f"{place}.runs"]["value"])
    losses = " / ".join(value(f"log_loss_{name}", 4) for name in ("served", "head", "pin"))
    fault, moves = place.rsplit(".", 1)[1], value("pin_moves_median")
    if f"{place}.caught_share" not in entries:
        closures = value("false_closures")
        return f"| {fault} | {closures} false closures in {runs} runs | | | | {moves} | {losses} | |\n"
    caught = round(entries[f"{place}.caught_share"]["value"] * runs)
    return (
        f"| {fault} | {caught}/{runs} | {value('labels_median')} / {value('labels_max')} "
        f"| {value('answers_median')} / {value('answers_max')} | {value('poisoned_pin_runs')} | {moves} | {losses} "
        f"| {value('harm_median')} / {value('unjudged_harm_median')} |\n"
    )


def _text(value: float | None, digits: int = 0) -> str:
    return "never" if value is None else f"{value:,.{digits}f}"
