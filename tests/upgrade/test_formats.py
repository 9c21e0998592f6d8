"""The page of formats says what the code says; and what the shapes of two releases do not share is found."""

import copy
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import martlet
from martlet.cli import main
from tests.upgrade.formats import NUMBERS, broken, described

ROOT = Path(__file__).parents[2]
PACKAGES = ("martlet", "trainer_svc", "registry_svc", "serving_svc")


def rows() -> list[list[str]]:
    page = (ROOT / "docs" / "upgrades.md").read_text()
    table = page[page.index("| format | number |") :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_table_is_that_of_the_code() -> None:
    assert {row[0]: row[1] for row in rows()} == {name: str(number) for name, number in NUMBERS.items()}
    for name, number, reads, *_ in rows():
        assert number in reads.split(", ") or not reads, f"{name}: what is written is read"


def test_every_format_of_the_code_is_in_the_table() -> None:
    """A constant that is named like one, and is not described in `tests/upgrade/formats.py`, was forgotten."""
    named = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            named |= set(re.findall(r"^([A-Z_]*FORMAT)(?:: Final)? = \d", path.read_text(), re.MULTILINE))
    described_here = (ROOT / "tests" / "upgrade" / "formats.py").read_text()
    assert {name for name in named if not re.search(rf"\b{name}\b", described_here)} == set()


def test_the_version_stands_in_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == f"martlet {martlet.__version__}"
    settings = (ROOT / "pyproject.toml").read_text()
    assert 'version = { attr = "martlet.__version__" }' in settings
    assert re.search(r'^version = "', settings, re.MULTILINE) is None
    assert version("martlet")  # it is installed, as something


def change(description: dict[str, Any], value: str, part: str) -> dict[str, Any]:
    found: dict[str, Any] = description["values"][value][part]
    return found


def test_what_an_old_reader_would_misread_is_found() -> None:
    before = described()

    def found(edit: Any) -> list[str]:
        after = copy.deepcopy(before)
        edit(after)
        return broken(before, after)

    def drops(after: dict[str, Any]) -> None:
        del change(after, "journal entry", "Rewound")["properties"]["epoch"]

    def retypes(after: dict[str, Any]) -> None:
        change(after, "journal entry", "Stepped")["properties"]["now_us"] = {"type": "string"}

    def demands(after: dict[str, Any]) -> None:
        change(after, "decision", "Decision")["required"] = [*change(after, "decision", "Decision")["required"], "new"]

    def loses_an_entry(after: dict[str, Any]) -> None:
        del after["values"]["journal entry"]["Forgot"]

    def loses_a_column(after: dict[str, Any]) -> None:
        del after["catalog"]["versions"]["reason"]

    def adds_to_the_manifest(after: dict[str, Any]) -> None:
        change(after, "manifest", "Manifest")["properties"]["new"] = {"type": "string", "default": ""}

    def adds(after: dict[str, Any]) -> None:
        change(after, "journal entry", "Began")["properties"]["new"] = {"type": "string", "default": ""}

    assert found(drops) == ["journal entry: Rewound.epoch is gone or another"]
    assert found(retypes) == ["journal entry: Stepped.now_us is gone or another"]
    assert found(demands) == ["decision: Decision.new is required now"]
    assert found(loses_an_entry) == ["journal entry: Forgot is gone"]
    assert found(loses_a_column) == ["catalog: table versions has lost or changed a column"]
    assert len(found(adds_to_the_manifest)) == 1
    assert found(adds) == []

    def renumbers(after: dict[str, Any]) -> None:
        drops(after)
        after["numbers"]["trainer's and judge's journal"] = 2

    assert found(renumbers) == []
