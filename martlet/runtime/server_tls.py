"""The certificates that this process shows, reloaded when they are replaced. Knows no gRPC: a supervisor has none."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from martlet.errors import InvalidInput
from martlet.loopback import is_loopback
from martlet.runtime.tls_config import TlsConfig
from martlet.watched_files import WatchedFiles


class ServerTls:
    """Certificate, key and whom to trust among callers. Thread-safe.

    Attributes:
        mutual: callers must show a certificate.

    Raises:
        InvalidInput: a file cannot be read, or certificate and key are not a pair.
    """

    def __init__(self, config: TlsConfig) -> None:
        if not config.key:
            raise InvalidInput("bad setting: tls.certificate is given without tls.key")
        self.mutual = bool(config.client_ca)
        self._paths = [Path(path) for path in (config.certificate, config.key, config.client_ca) if path]
        self._files = WatchedFiles(self._paths, config.reload_seconds, self._check)
        self._generation, self._context = 1, self._made_context()

    def look(self) -> int:
        """Counts the certificates that were taken, from 1."""
        return self._files.look()

    @property
    def parts(self) -> tuple[bytes, bytes, bytes | None]:
        """Certificates, private key, and the authorities of callers: PEM."""
        certificate, key, *client_ca = self._files.contents
        return certificate, key, client_ca[0] if client_ca else None

    def context(self) -> ssl.SSLContext:
        """For a connection that begins now. A caller's certificate is verified if there is one, not demanded."""
        generation = self.look()
        if generation != self._generation:
            self._generation, self._context = generation, self._made_context()
        return self._context

    def _made_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._paths[0], self._paths[1])
        if self.mutual:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=self._files.contents[2].decode("ascii"))
        return context

    def _check(self, read: Sequence[bytes]) -> None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._paths[0], self._paths[1])
            if self.mutual:
                context.load_verify_locations(cadata=read[2].decode("ascii"))
        except ssl.SSLError as error:
            raise ValueError(f"certificate, key and authorities are not PEM that fits ({error.reason})") from error


def server_tls(config: TlsConfig, host: str) -> ServerTls | None:
    """What a port on this host shows; None: it speaks plain.

    Raises:
        InvalidInput: it would speak plain where others can hear it, and nobody said that this is meant.
    """
    if config.listens:
        return ServerTls(config)
    if not (config.insecure or is_loopback(host)):
        raise InvalidInput(
            f"bad setting: tls.certificate is empty and {host} is no loopback address; "
            "give a certificate, or say tls.insecure: true if something else encrypts"
        )
    return None
