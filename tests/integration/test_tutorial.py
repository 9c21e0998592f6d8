"""docs/tutorial.md, from its first block to its last, as printed: an empty folder becomes a served model."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+) ?([\w.]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Reader:
    """Does what the page says, in a folder, in order. Ports are free ones, told by the environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shop"
        self.folder.mkdir()
        self._background: list[subprocess.Popen[bytes]] = []
        self.said = ""
        command = folder / "bin" / "martlet"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m martlet.cli "$@"\n')
        command.chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PAGE.parents[1]),
        }
        for service in ("SERVING", "REGISTRY", "TRAINER"):
            grpc_port, metrics_port = free_ports(2)
            self._environment[f"MARTLET_{service}_GRPC_PORT"] = str(grpc_port)
            self._environment[f"MARTLET_{service}_METRICS_PORT"] = str(metrics_port)
        self._environment["SERVING"] = f"127.0.0.1:{self._environment['MARTLET_SERVING_GRPC_PORT']}"

    def do(self, language: str, name: str, text: str) -> None:
        if language == "sh" and name == "background":
            command = ["sh", "-c", f"exec {text}"]
            with (self.folder / "log").open("wb") as log:
                self._background.append(
                    subprocess.Popen(command, cwd=self.folder, env=self._environment, stdout=log, stderr=log)
                )
        elif language == "sh":
            done = subprocess.run(
                ["sh", "-e", "-c", text],
                cwd=self.folder,
                env=self._environment,
                capture_output=True,
                timeout=200,
                check=False,
            )
            self.said += done.stdout.decode()
            assert done.returncode == 0, f"{text}\n{done.stdout.decode()}\n{done.stderr.decode()}\n{self.log()}"
        elif name:
            (self.folder / name).write_text(text)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text()[-4000:] if path.exists() else ""

    def stop(self) -> None:
        for process in self._background:
            process.send_signal(signal.SIGINT)
        for process in self._background:
            process.wait(60)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    try:
        yield reader
    finally:
        reader.stop()


@pytest.mark.timeout(600)
def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 10
    for language, name, text in blocks:
        reader.do(language, name, text)
    assert "model 'shop' can be learned and served" in reader.said
    assert "4000 things were shown" in reader.said
    for wish, kind in (("light", "lamp"), ("read", "book")):
        answer = reader.said.split(f"for the wish {wish}")[1].splitlines()[1:7]
        first = [line.split()[-1] for line in answer[:2]]
        assert first == [kind, kind], reader.said
    assert "REJECTED" not in reader.said
