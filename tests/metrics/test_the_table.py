"""docs/metrics.md is true: of a running loop, and of the tests that it names."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.metrics.promtool import promtool_faults
from tests.metrics.running_loop import running_loop
from tests.metrics.table import ROOT, SERVICES, UP, Row, faults_of, missing_from, rows

PATIENCE = 90.0


async def test_a_running_loop_tells_what_the_table_says_and_nothing_else(tmp_path: Path) -> None:
    async with running_loop(tmp_path) as loop, asyncio.timeout(PATIENCE):
        while True:
            await loop.act()
            pages = await loop.pages()
            missing = {service: missing_from(pages[service], service) for service in SERVICES}
            print(missing)  # noqa: T201  what is awaited, if it is in vain
            if not any(missing.values()):
                break
            await asyncio.sleep(0.2)
        for service, page in pages.items():
            assert faults_of(page, service) == []
            assert promtool_faults(page) == "", service


@pytest.mark.parametrize("row", [row for row in rows() if row.shown != UP], ids=lambda row: row.name)
def test_a_row_that_no_quiet_loop_tells_is_shown_by_the_test_that_it_names(row: Row) -> None:
    path = ROOT / row.shown
    assert path.exists()
    what = re.sub("^martlet_[a-z]+_", "", row.name).removesuffix("_total")
    assert what in path.read_text()


def test_no_name_stands_twice_and_every_one_is_in_the_fields_manner() -> None:
    told = rows()
    names = [(row.service, row.name) for row in told]
    assert len(names) == len(set(names))
    for row in told:
        assert row.kind in {"counter", "gauge", "histogram"}
        assert row.name.endswith("_total") == (row.kind == "counter"), row.name
        assert row.name.startswith((f"martlet_{row.service}_", "process_", "python_")), row.name
        assert not row.labels & {"user", "user_id", "item", "item_id", "error", "prediction_id"}
