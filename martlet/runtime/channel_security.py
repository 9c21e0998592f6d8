"""How this process calls other services, as its settings say."""

from pathlib import Path

from martlet.client.bearer import Token, TokenFile
from martlet.client.tls import Plaintext, Tls
from martlet.runtime.config import AuthConfig
from martlet.runtime.tls_config import SYSTEM_ROOTS, TlsConfig


def own_token(config: AuthConfig) -> Token:
    """The token that this process shows to other services.

    Raises:
        InvalidInput: its file cannot be read.
    """
    return TokenFile(Path(config.token_file), config.reload_seconds) if config.token_file else config.token


def channel_security(config: TlsConfig) -> Tls | Plaintext | None:
    """How this process calls other services."""
    if not config.dials:
        return Plaintext() if config.insecure else None
    return Tls(
        ca=Path(config.ca) if config.ca not in ("", SYSTEM_ROOTS) else None,
        certificate=Path(config.certificate) if config.certificate else None,
        key=Path(config.key) if config.key else None,
        server_name=config.server_name,
        reload_seconds=config.reload_seconds,
    )
