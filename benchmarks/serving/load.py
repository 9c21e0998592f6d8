"""A load in a process of its own: raw bytes over several connections, closed or open loop.

`python -m benchmarks.serving.load` reads one job a line (JSON) from stdin and answers one line for each.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import uvloop


@dataclass(frozen=True, slots=True)
class Job:
    """What to send.

    Attributes:
        payload: file with the request's bytes.
        concurrency: requests under way at once (closed loop), unless `rate` is given.
        rate: requests a second (open loop); 0: closed loop.
        timeout: each request's deadline in seconds; 0: none.
    """

    address: str
    method: str
    payload: str
    concurrency: int
    seconds: float
    connections: int = 8
    rate: float = 0.0
    timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back.

    Attributes:
        codes: requests by status.
        p50_ms, p99_ms: of the answered ones.
        reply_bytes: size of one reply.
    """

    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    reply_bytes: int
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return self.answered / self.seconds


class Load:
    """The load process, pinned to one core."""

    def __init__(self, core: int) -> None:
        command = [sys.executable, "-m", "benchmarks.serving.load"]
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, job: Job) -> Outcome:
        """Does a job and waits for it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()


class _Sender:
    """One job under way."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._payload = Path(job.payload).read_bytes()
        self._channels = [
            grpc.aio.insecure_channel(job.address, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(job.connections)
        ]
        self._calls: list[Any] = [channel.unary_unary(job.method) for channel in self._channels]
        self._codes: Counter[str] = Counter()
        self._times: list[float] = []
        self._reply_bytes = 0

    async def run(self) -> Outcome:
        job = self._job
        for call in self._calls:
            await call(self._payload, timeout=10)
        started = time.perf_counter()
        end = started + job.seconds
        if job.rate:
            await self._open_loop(started, end)
        else:
            await asyncio.gather(*(self._closed_loop(i, end) for i in range(job.concurrency)))
        took = time.perf_counter() - started
        for channel in self._channels:
            await channel.close()
        times = sorted(self._times) or [float("nan")]
        return Outcome(
            answered=len(self._times),
            seconds=took,
            p50_ms=times[len(times) // 2] * 1e3,
            p99_ms=times[int(len(times) * 0.99)] * 1e3,
            reply_bytes=self._reply_bytes,
            codes=dict(self._codes),
        )

    async def _closed_loop(self, number: int, end: float) -> None:
        while time.perf_counter() < end:
            await self._one(self._calls[number % len(self._calls)])

    async def _open_loop(self, started: float, end: float) -> None:
        sent, tasks = 0, set()
        while (now := time.perf_counter()) < end:
            while sent < (now - started) * self._job.rate:
                task = asyncio.create_task(self._one(self._calls[sent % len(self._calls)]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
            await asyncio.sleep(0.002)
        await asyncio.gather(*tasks)

    async def _one(self, call: Any) -> None:
        started = time.perf_counter()
        try:
            reply = await call(self._payload, timeout=self._job.timeout or None)
        except grpc.aio.AioRpcError as error:
            self._codes[error.code().name] += 1
            return
        self._codes["OK"] += 1
        self._times.append(time.perf_counter() - started)
        self._reply_bytes = len(reply)


async def _outcome(job: Job) -> Outcome:
    return await _Sender(job).run()  # made here: channels belong to the running loop


def main() -> None:
    """Does jobs until stdin ends."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in sys.stdin:
            outcome = runner.run(_outcome(Job(**json.loads(line))))
            print(json.dumps(asdict(outcome)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
