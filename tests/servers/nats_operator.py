"""An operator of NATS for tests: accounts and users by signed claims, as `nsc` makes them.

A claim is a JWT of the kind `ed25519-nkey` (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/jwt).
"""

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nkeys

_LIMITS: Final = ("subs", "data", "payload", "imports", "exports", "conn", "leaf")
_STREAMS: Final = ("mem_storage", "disk_storage", "streams", "consumer")
_CREDENTIALS: Final = """-----BEGIN NATS USER JWT-----
{claim}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


@dataclass(frozen=True)
class Account:
    """An account, and what its servers know of it."""

    key: nkeys.KeyPair
    claim: str

    @property
    def name(self) -> str:
        return str(self.key.public_key.decode())

    def credentials(self, path: Path) -> Path:
        """Writes a credentials file of a fresh user of this account."""
        user = _key_pair(nkeys.PREFIX_BYTE_USER)
        claim = _claim(self.key, user, "user", {"subs": -1, "data": -1, "payload": -1})
        path.write_text(_CREDENTIALS.format(claim=claim, seed=user.seed.decode()))
        return path


class Operator:
    """Signs accounts."""

    def __init__(self) -> None:
        self._key = _key_pair(nkeys.PREFIX_BYTE_OPERATOR)
        self.claim = _claim(self._key, self._key, "operator", {})

    def account(self, *, streams: bool = True) -> Account:
        """A fresh account, without limits; a system account may have no streams."""
        key = _key_pair(nkeys.PREFIX_BYTE_ACCOUNT)
        limits = {**dict.fromkeys((*_LIMITS, *(_STREAMS if streams else ())), -1), "wildcards": True}
        return Account(key, _claim(self._key, key, "account", {"limits": limits}))


def _key_pair(kind: int) -> nkeys.KeyPair:
    return nkeys.from_seed(nkeys.encode_seed(secrets.token_bytes(32), kind))


def _claim(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, kind: str, rights: dict[str, Any]) -> str:
    name = subject.public_key.decode()
    body = {
        "jti": secrets.token_hex(16), "iat": 1_600_000_000, "iss": issuer.public_key.decode(), "name": kind,
        "sub": name, "nats": {"type": kind, "version": 2, **rights},
    }  # fmt: skip
    said = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(body)}"
    return f"{said}.{_plain(issuer.sign(said.encode()))}"


def _part(value: dict[str, Any]) -> str:
    return _plain(json.dumps(value).encode())


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
