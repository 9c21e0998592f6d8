"""How a client's channels are secured: over TLS, or in the clear."""

from dataclasses import dataclass
from pathlib import Path

from martlet.client.bearer import Token
from martlet.errors import InvalidInput
from martlet.loopback import stays_here


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS to a service. All files are PEM, and looked at again while the client lives: no restart on rotation.

    Attributes:
        ca: who signs the service's certificate; None: whom gRPC trusts by itself.
        certificate: what the client shows, if the service asks (mutual TLS): the leaf first.
        key: its private key.
        server_name: the name on the service's certificate, if it is another than in the address.
        reload_seconds: the files are looked at before a call, at most this often.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
    reload_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Plaintext:
    """No TLS, and tokens are sent all the same, wherever the service is: something else encrypts."""


def check_token_stays_secret(address: str, token: Token, security: Tls | Plaintext | None) -> None:
    """A token travels over TLS, or not beyond this machine.

    Raises:
        InvalidInput: it would travel in the clear.
    """
    if token != "" and security is None and not stays_here(address):
        raise InvalidInput(f"a token would travel to {address} in the clear: give tls, or Plaintext() if it may")
