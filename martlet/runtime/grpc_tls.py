"""gRPC's server credentials of a process's certificates."""

from collections.abc import Callable
from typing import cast

import grpc

from martlet.runtime.server_tls import ServerTls


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Credentials that ask, at each handshake, whether the certificates were replaced.

    Connections that are open stay: a certificate is looked at when a connection begins.
    """
    given = tls.look()

    def fetch() -> "grpc.ServerCertificateConfiguration | None":
        """What holds now; None: what was given last."""
        nonlocal given
        newest = tls.look()
        if newest == given:
            return None
        given = newest
        return _configuration(tls)

    # Its types leave out that None is understood.
    fetcher = cast("Callable[[], grpc.ServerCertificateConfiguration]", fetch)
    return grpc.dynamic_ssl_server_credentials(_configuration(tls), fetcher, require_client_authentication=tls.mutual)


def _configuration(tls: ServerTls) -> grpc.ServerCertificateConfiguration:
    certificate, key, client_ca = tls.parts
    return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)
