"""A recommender keeps the laws, too: its inputs are features, its tables are looked up, its outputs are scores."""

import asyncio
import json
import sys
from pathlib import Path

from tests.integration.test_serving import MODEL, World


async def test_a_version_with_features_keeps_every_law_that_applies(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start()
    world.publish()
    world.aspire(1, head=1, pin=1)
    await world.answered_by(1)
    command = ["-m", "tests.conformance", "--target", world.address, "--model", MODEL, "--values", "small", "--json"]
    kit = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    told, _ = await kit.communicate()
    report = json.loads(told)
    assert [result for result in report["results"] if result["verdict"] == "failed"] == []
    assert report["passed"] > 120
    assert kit.returncode == 0
    await world.stop()
