"""A serving replica carries no training stack."""

import re
import subprocess
import sys
from importlib.metadata import requires

HEAVY = {"torch", "numba", "onnx", "onnxscript", "sqlalchemy"}
CLIENTS = {"nats", "confluent_kafka", "boto3", "psycopg"}  # of parts that are not configured


def test_the_serving_extra_asks_for_no_training_stack() -> None:
    wanted = [line for line in requires("martlet") or [] if "extra ==" not in line or "serving" in line]
    names = {re.split(r"[<>=~!;\[ ]", line, maxsplit=1)[0].lower() for line in wanted}
    assert "onnxruntime" in names
    assert not names & HEAVY


def test_a_replica_imports_no_training_stack() -> None:
    """In a process of its own: here other tests have imported everything already."""
    code = f"import sys, serving_svc.__main__, serving_svc.app; print(sorted({HEAVY | CLIENTS!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
