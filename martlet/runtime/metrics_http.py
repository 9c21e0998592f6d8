"""Metrics and readiness over HTTP, from a thread of its own, so that a busy event loop can still be watched.

`/metrics` is Prometheus' text; `/ready` is 200 when the process can serve and 503 when it cannot.
"""

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from typing_extensions import override

POLL_SECONDS: Final = 0.05  # how long `close` may wait; the library's own server takes half a second


class MetricsServer:
    """Serves what a collector (a CollectorRegistry, say) collects, from construction until `close`.

    Args:
        ready: whether the process can serve; asked in another thread than the event loop's.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, host: str, port: int, collector: Collector, ready: Callable[[], bool] = lambda: True) -> None:
        try:
            self._http = _HttpServer((host, port), collector, ready)
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

    def __init__(self, address: tuple[str, int], collector: Collector, ready: Callable[[], bool]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.collector = collector
        self.ready = ready
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer

    def do_GET(self) -> None:
        """Answers."""
        path = self.path.partition("?")[0]
        if path in ("/", "/metrics"):
            self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.server.collector))
        elif path == "/ready":
            ready = self.server.ready()
            status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, "text/plain", b"ready\n" if ready else b"not ready\n")
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics and /ready are here\n")

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """A scrape is no news."""
