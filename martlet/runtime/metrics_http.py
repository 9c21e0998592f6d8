"""Metrics and readiness over HTTP, from a thread of its own, so that a busy event loop can still be watched.

`/metrics` is Prometheus' text, or OpenMetrics to who accepts it; `/ready` is 200 when the process can serve and 503
when it cannot; `/live` is 503 when the process is stuck and should be started again. Over TLS where the process has a
certificate. `/ready` and `/live` are open, for a probe has no certificate; `/metrics` asks who calls.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client.registry import Collector
from typing_extensions import override

from martlet.runtime.exposition import page_of
from martlet.runtime.server_tls import ServerTls

POLL_SECONDS: Final = 0.05  # how long `close` may wait; the library's own server takes half a second
HANDSHAKE_SECONDS: Final = 10.0  # and for a request: nobody holds a thread for longer


def everybody(_authorization: str, _certificate_names: Sequence[str]) -> bool:
    """Metrics are open."""
    return True


def unheard() -> None:
    """Nobody counts who is not let in."""


@dataclass(frozen=True, slots=True)
class MetricsDoor:
    """Who is let in.

    Attributes:
        tls: the certificates to show; None: plain HTTP.
        admits: whether the holder of this authorization header and these verified names may read the metrics.
        denied: told of each who may not.
    """

    tls: ServerTls | None = None
    admits: Callable[[str, Sequence[str]], bool] = everybody
    denied: Callable[[], None] = unheard


@dataclass(frozen=True, slots=True)
class Probes:
    """What is asked of a process beside its metrics, in another thread than the event loop's."""

    ready: Callable[[], bool]
    alive: Callable[[], bool]


class MetricsServer:
    """Serves what a collector (a CollectorRegistry, say) collects, from construction until `close`.

    Args:
        ready: whether the process can serve; asked in another thread than the event loop's.
        alive: whether it still works at all; asked likewise.

    Raises:
        OSError: the port is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        collector: Collector,
        ready: Callable[[], bool] = lambda: True,
        door: MetricsDoor = MetricsDoor(),
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        try:
            self._http = _HttpServer((host, port), collector, Probes(ready, alive), door)
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._http.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self._http.server_port

    def close(self) -> None:
        """Ends the server; blocks for at most a poll."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], collector: Collector, probes: Probes, door: MetricsDoor) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.collector = collector
        self.probes = probes
        self.door = door
        super().__init__(address, _Handler)

    @override
    def finish_request(self, request: Any, client_address: Any) -> None:
        """Called in the connection's own thread: a slow handshake holds nobody else up."""
        tls = self.door.tls
        if tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(HANDSHAKE_SECONDS)
        with contextlib.suppress(OSError), tls.context().wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    timeout = HANDSHAKE_SECONDS

    def do_GET(self) -> None:
        """Answers."""
        path = self.path.partition("?")[0]
        if path in ("/", "/metrics"):
            if not self._admitted():
                self.server.door.denied()
                self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", b"a token or a certificate is needed\n")
                return
            page = page_of(self.server.collector, self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, page.kind, page.body)
        elif path == "/ready":
            self._probed(self.server.probes.ready(), b"ready\n")
        elif path == "/live":
            self._probed(self.server.probes.alive(), b"alive\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /ready and /live are here\n")

    def _admitted(self) -> bool:
        door, names = self.server.door, _names(self.connection)
        if door.tls is not None and door.tls.mutual and not names:
            return False
        return door.admits(self.headers.get("Authorization", ""), names)

    def _probed(self, well: bool, said: bytes) -> None:  # noqa: FBT001  what was found is the argument
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "text/plain", said if well else b"not " + said)

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """A scrape is no news."""


def _names(connection: Any) -> list[str]:
    """Common name and alternative names of the certificate that the caller showed; none: it showed none."""
    shown: Any = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    if not shown:
        return []
    subject = [value for part in shown.get("subject", ()) for kind, value in part if kind == "commonName"]
    return list(dict.fromkeys([*subject, *(value for _kind, value in shown.get("subjectAltName", ()))]))
