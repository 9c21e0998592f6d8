"""Settings of transport security: section `tls`."""

from dataclasses import dataclass

SYSTEM_ROOTS = "system"


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS, for every port that this process opens and for every service that it calls. All files are PEM.

    The files are looked at again while the process runs: a certificate that is replaced is used from the next
    connection on. A pair that does not fit together is not taken; the one before stays.

    Attributes:
        certificate: what this process shows to its callers, and to the services that it calls: the leaf first, then
            what signed it. Empty: this process listens without TLS.
        key: the private key of the certificate.
        ca: who signs the certificates of the services that this process calls; `system`: whom the machine trusts.
            Empty with a certificate: as `system`; empty without: services are called without TLS.
        client_ca: who signs the certificates of callers; given this, who has none is not let in (mutual TLS).
        server_name: the name on the certificates of the services called, if it is another than in their addresses.
        insecure: listen beyond loopback, and send tokens there, without TLS all the same: something else encrypts.
        reload_seconds: the files are looked at when somebody connects, at most this often.
    """

    certificate: str = ""
    key: str = ""
    ca: str = ""
    client_ca: str = ""
    server_name: str = ""
    insecure: bool = False
    reload_seconds: float = 5.0

    @property
    def listens(self) -> bool:
        """Whether ports of this process speak TLS."""
        return bool(self.certificate)

    @property
    def dials(self) -> bool:
        """Whether services are called over TLS."""
        return bool(self.ca or self.certificate)
