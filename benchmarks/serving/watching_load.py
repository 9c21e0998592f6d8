"""A load that looks at every answer: which version it names, what it says, and when a version answered first.

`python -m benchmarks.serving.watching_load` sends one `ModelInfer` again and again at a fixed rate (open loop), until
its standard input ends; then it prints what it saw as one line of JSON.
"""

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import uvloop

from martlet.oip import open_inference_pb2 as oip

METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(slots=True)
class Seen:
    """What a load saw.

    Attributes:
        codes: requests by status.
        answers: version → {digest of the raw outputs: count}.
        values: version → the first output's first value, of the first answer.
        first: version → monotonic seconds of its first answer.
        times: (monotonic seconds at sending, seconds it took) of each answered request.
    """

    codes: dict[str, int] = field(default_factory=dict)
    answers: dict[str, dict[str, int]] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    times: list[tuple[float, float]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Requests that were not answered."""
        return sum(count for code, count in self.codes.items() if code != "OK")

    def quantile_ms(self, share: float, begin: float, end: float) -> float:
        """A quantile of the latencies of what was sent in a stretch of monotonic time."""
        taken = [took for sent, took in self.times if begin <= sent < end]
        return float(np.quantile(taken, share)) * 1e3 if taken else float("nan")


class WatchingLoad:
    """The load's process on one core. `end` stops it and gives what it saw."""

    def __init__(self, address: str, payload: Path, rate: float, core: int) -> None:
        command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.serving.watching_load", address]
        self._process = subprocess.Popen(
            [*command, str(payload), str(rate)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def end(self) -> Seen:
        """Stops sending."""
        told, _ = self._process.communicate()
        return Seen(**json.loads(told.splitlines()[-1]))


class _Watcher:
    def __init__(self, address: str, payload: bytes, connections: int = 8) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
        self._calls: list[Any] = [channel.unary_unary(METHOD) for channel in self._channels]
        self._payload = payload
        self._answers: dict[str, Counter[str]] = defaultdict(Counter)
        self.seen = Seen()
        self._codes: Counter[str] = Counter()

    async def run(self, rate: float, ended: asyncio.Event) -> None:
        """Sends at the rate, whatever comes back."""
        begun, sent, tasks = time.monotonic(), 0, set()
        while not ended.is_set():
            while sent < (time.monotonic() - begun) * rate:
                task = asyncio.create_task(self._one(self._calls[sent % len(self._calls)]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.001)
        await asyncio.gather(*tasks)
        self.seen.codes = dict(self._codes)
        self.seen.answers = {version: dict(counts) for version, counts in self._answers.items()}

    async def _one(self, call: Any) -> None:
        sent = time.monotonic()
        try:
            reply = await call(self._payload, timeout=10)
        except grpc.aio.AioRpcError as error:
            self._codes[error.code().name] += 1
            return
        now = time.monotonic()
        self._codes["OK"] += 1
        self.seen.times.append((sent, now - sent))
        answer = oip.ModelInferResponse.FromString(reply)
        version, raw = answer.model_version, list(answer.raw_output_contents)
        self._answers[version][hashlib.sha256(b"".join(raw)).hexdigest()[:16]] += 1
        if version not in self.seen.first:
            self.seen.first[version] = now
            self.seen.values[version] = float(np.frombuffer(raw[-1], np.float32)[0]) if raw else float("nan")


async def _run(address: str, payload: Path, rate: float) -> Seen:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    watcher = _Watcher(address, payload.read_bytes())
    await watcher.run(rate, ended)
    return watcher.seen


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("payload", type=Path)
    parser.add_argument("rate", type=float)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_run(options.address, options.payload, options.rate))
    told = {name: getattr(seen, name) for name in ("codes", "answers", "values", "first", "times")}
    print(json.dumps(told), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
