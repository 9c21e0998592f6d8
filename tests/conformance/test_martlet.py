"""Martlet passes the whole kit: in a process of its own, since its stubs have the protocol's own package."""

import json
import subprocess
import sys

from tests.conformance.cases import ALL
from tests.conformance.martlet_server import ECHO, ECHO_HALF, served

KIT = [sys.executable, "-m", "tests.conformance"]


def test_martlet_keeps_every_law() -> None:
    with served() as address:
        models = [option for name in (ECHO, ECHO_HALF) for option in ("--model", name, "--echo", name)]
        done = subprocess.run(
            [*KIT, "--target", address, *models, "--json"], capture_output=True, text=True, check=False
        )
        report = json.loads(done.stdout)
        assert [result for result in report["results"] if result["verdict"] != "passed"] == []
        assert (done.returncode, report["passed"], report["score"]) == (0, len(ALL), 1.0)
        unknown = subprocess.run(
            [*KIT, "--target", address, "--model", "nobody"], capture_output=True, text=True, check=False
        )
        assert (unknown.returncode, unknown.stdout) == (2, "")
        assert "model 'nobody': NOT_FOUND no model 'nobody'" in unknown.stderr


def test_a_server_that_is_not_there_is_one_line() -> None:
    command = [*KIT, "--target", "127.0.0.1:1", "--model", "m", "--wait", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "conformance: 127.0.0.1:1: no connection within 0.2 s\n"
