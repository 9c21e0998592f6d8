"""History from a file, then the live log: each event is learned once, wherever it stands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.test_hand_over import SETTINGS, Shop
from tests.integration.test_trainer_process import ROOT, environment, service, status_of, wait_for

MAP = """
features: {user_id: uid, item_id: movie, item.price: price}
label: stars
time: at
time_unit: us
prediction_id: pid
"""


def backfill(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer_svc", "backfill", *arguments, "--data-dir", str(data), "--json"]
    return subprocess.run(
        command, env=environment(**SETTINGS), capture_output=True, text=True, timeout=100, cwd=ROOT, check=False
    )


def write_history(path: Path, rows: list[tuple[object, ...]]) -> None:
    lines = ["uid,movie,price,stars,at,pid", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("overlap", ["time", "prediction_id"])
def test_history_and_log_are_learned_once(tmp_path: Path, overlap: str) -> None:
    shop = Shop(tmp_path)
    position = shop.visit(40)
    first = shop.times[20]  # the history holds all before the 21st visit, the log all of them
    old = [(1, 2, 3.5, 5, 1_600_000_000_000_000 + i, f"old-{i}") for i in range(60)]
    both = [(i % 997, i % 30, 2.0, 5, shop.times[i - 1], f"p-{i}") for i in range(1, 21)]
    write_history(tmp_path / "history.csv", [*old, *both, ("x", "", 1, 5, 1, "no-item")])
    (tmp_path / "map.yaml").write_text(MAP)
    done = backfill(tmp_path, str(tmp_path / "history.csv"), "--map", str(tmp_path / "map.yaml"), "--overlap", overlap)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["report"]
    assert report[0].startswith("learned: 80 examples")
    assert report[1] == "left out: 1 rows"
    assert first > shop.times[19]
    with (
        service("registry", tmp_path) as (_, registry),
        service("trainer", tmp_path, trainer_registry=registry, **SETTINGS) as (_, trainer),
    ):
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        wait_for("it is published", lambda: status_of(trainer).last_published_version > 0)
        position = shop.visit(10)
        wait_for("all is learned", lambda: status_of(trainer).consumed.get("serving-0") == position)
        status = status_of(trainer)
    shop.close()
    assert (status.learned, status.excluded) == (30, 20)
    assert status.pending == status.dead_lettered == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.csv"], "a mapping says"),
        (["history.csv", "--map", "map.yaml", "--before", "soon"], "is no time"),
        (["history.txt", "--map", "map.yaml"], ".parquet or .csv"),
        (["history.csv", "--map", "other.yaml"], "has no column 'nothing'"),
        (["empty.csv", "--map", "map.yaml"], "no example"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    write_history(tmp_path / "history.csv", [(1, 2, 3.5, 5, 1_600_000_000, "p")])
    write_history(tmp_path / "empty.csv", [])
    (tmp_path / "history.txt").write_text("")
    (tmp_path / "map.yaml").write_text(MAP)
    (tmp_path / "other.yaml").write_text(MAP.replace("movie", "nothing"))
    placed = [str(tmp_path / one) if "." in one and not one.startswith("-") else one for one in arguments]
    done = backfill(tmp_path, *placed)
    assert done.returncode == 2
    assert complaint in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "trainer").glob("lineages/*/journal"))
