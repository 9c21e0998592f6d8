"""What the scripts share: one round for each line of standard input."""

import json
import sys
import time
from collections.abc import Callable


def serve(learn_all: Callable[[], None]) -> None:
    """Learns everything once to warm up, then once for each line; prints one line of JSON each time."""
    learn_all()
    print("ready", flush=True)  # noqa: T201
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        learn_all()
        print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)  # noqa: T201
