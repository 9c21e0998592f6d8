"""Prometheus' text over HTTP, from a thread of its own, so that a busy event loop can still be watched."""

import socket
import threading
from http.server import ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry, MetricsHandler

POLL_SECONDS: Final = 0.05  # how long `close` may wait; the library's own server takes half a second


class MetricsServer:
    """Serves one registry's metrics from construction until `close`.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        try:
            self._http = _HttpServer((host, port), MetricsHandler.factory(registry))
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

    def __init__(self, address: tuple[str, int], handler: type[MetricsHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)
