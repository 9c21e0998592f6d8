"""A NATS server with JetStream that syncs every record before it acknowledges."""

import secrets
from pathlib import Path

from martlet.clock import SystemClock
from martlet.eventlog.broker_writer import WriterLimits
from martlet.eventlog.jetstream.link import Address
from martlet.eventlog.jetstream.log import JetStreamEventLog
from martlet.eventlog.jetstream.protocol import Streams
from tests.servers.process import ServerProcess, free_port, listens, program


class NatsServer:
    """On a folder and a port of its own."""

    def __init__(self, folder: Path, security: str = "") -> None:
        """`security`: settings of the server that say who may come, and how."""
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "nats.conf"
        settings.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{folder}/store", sync_interval: always, max_file: 4G }}\n' + security
        )
        self._process = ServerProcess(
            [program("nats-server"), "-c", str(settings)], folder / "log", lambda: listens(self.port)
        )
        self.start = self._process.start
        self.kill = self._process.kill
        self.send = self._process.send
        self.stop = self._process.stop

    @property
    def url(self) -> str:
        """For clients."""
        return f"nats://127.0.0.1:{self.port}"


def jetstream_log(
    server: NatsServer, name: str = "", limits: WriterLimits | None = None, keep_seconds: float = 0.0
) -> JetStreamEventLog:
    """A log of a fresh name, unless one is given."""
    return JetStreamEventLog(
        Address((server.url,)),
        Streams(name or f"test-{secrets.token_hex(4)}", keep_seconds=keep_seconds),
        limits or WriterLimits(),
        SystemClock(),
        lambda: secrets.token_hex(6),
    )
