"""Who may call what. Off while no token and no certificate is configured; then whoever is not named may do nothing.

Roles contain one another: an operator may do what a publisher may, a publisher what a caller may, a caller what a
reader may. Health checks alone are open. A caller is known by its token, else by its verified certificate.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from martlet.decoding import UNREADABLE
from martlet.errors import Forbidden, InvalidInput, Unauthenticated
from martlet.runtime.config import AuthConfig, TokenConfig
from martlet.watched_files import WatchedFiles

Metadata = Sequence[tuple[str, str | bytes]]

SHA256_DIGITS: Final = 64


class CallerRole(IntEnum):
    """What a caller may do, from least to most."""

    READER = 1
    CALLER = 2
    PUBLISHER = 3
    OPERATOR = 4


OPEN: Final = frozenset(f"/grpc.health.v1.Health/{name}" for name in ("Check", "List", "Watch"))

NEEDED: Final[Mapping[str, CallerRole]] = {
    "/martlet.v1.ServingService/Rank": CallerRole.CALLER,
    "/martlet.v1.ServingService/Recommend": CallerRole.CALLER,
    "/martlet.v1.ServingService/Explain": CallerRole.CALLER,
    "/martlet.v1.ServingService/GetServingStatus": CallerRole.READER,
    "/martlet.v1.EventsService/RecordOutcomes": CallerRole.CALLER,
    "/martlet.v1.EventsService/UpsertItems": CallerRole.PUBLISHER,
    "/martlet.v1.EventsService/DeleteItems": CallerRole.PUBLISHER,
    "/martlet.v1.RegistryService/PublishVersion": CallerRole.PUBLISHER,
    "/martlet.v1.RegistryService/GetVersion": CallerRole.READER,
    "/martlet.v1.RegistryService/ListVersions": CallerRole.READER,
    "/martlet.v1.RegistryService/GetLineage": CallerRole.READER,
    "/martlet.v1.RegistryService/WatchAspired": CallerRole.READER,
    "/martlet.v1.RegistryService/ReportReplica": CallerRole.PUBLISHER,
    "/martlet.v1.RegistryService/ReportMeasurements": CallerRole.PUBLISHER,
    "/martlet.v1.RegistryService/ReportEvidence": CallerRole.PUBLISHER,
    "/martlet.v1.RegistryService/AcknowledgeRewind": CallerRole.PUBLISHER,
    "/martlet.v1.RegistryService/ExpireVersions": CallerRole.PUBLISHER,
    "/martlet.v1.RolloutService/ShowRollout": CallerRole.READER,
    "/martlet.v1.RolloutService/PromoteVersion": CallerRole.OPERATOR,
    "/martlet.v1.RolloutService/AbortRollout": CallerRole.OPERATOR,
    "/martlet.v1.RolloutService/PinVersion": CallerRole.OPERATOR,
    "/martlet.v1.RolloutService/ThawRollout": CallerRole.OPERATOR,
    "/martlet.v1.TrainerService/GetTrainerStatus": CallerRole.READER,
    "/martlet.v1.TrainerService/ReadmitRange": CallerRole.OPERATOR,
    "/martlet.v1.TrainerService/ForgetUser": CallerRole.OPERATOR,
    "/martlet.v1.TrainerService/ListErasures": CallerRole.READER,
    "/martlet.v1.TrainerService/StartRun": CallerRole.OPERATOR,
    "/martlet.v1.TrainerService/ListRuns": CallerRole.READER,
    "/inference.GRPCInferenceService/ServerLive": CallerRole.READER,
    "/inference.GRPCInferenceService/ServerReady": CallerRole.READER,
    "/inference.GRPCInferenceService/ModelReady": CallerRole.READER,
    "/inference.GRPCInferenceService/ServerMetadata": CallerRole.READER,
    "/inference.GRPCInferenceService/ModelMetadata": CallerRole.READER,
    "/inference.GRPCInferenceService/ModelInfer": CallerRole.CALLER,
    "/inference.GRPCInferenceService/ModelStreamInfer": CallerRole.CALLER,
    "/inference.GRPCInferenceService/ModelConfig": CallerRole.READER,
    "/inference.GRPCInferenceService/ModelStatistics": CallerRole.READER,
    "/inference.GRPCInferenceService/RepositoryIndex": CallerRole.READER,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": CallerRole.READER,
}


@dataclass(frozen=True, slots=True)
class _Known:
    """A caller's name and role, and the SHA-256 (hex, lower case) of its token."""

    sha256: str
    name: str
    role: CallerRole


class Authorizer:
    """Checks who calls against the table above. Thread-safe.

    Tokens in the file of `auth.tokens_file` are read again when it changes: a token that is taken out of it enters
    no more. A file that cannot be read leaves the tokens as they were.

    Args:
        mutual: every caller shows a verified certificate (mutual TLS).

    Raises:
        InvalidInput: a role or a hash is none, or the file of the tokens cannot be read.
    """

    def __init__(self, config: AuthConfig, *, mutual: bool = False) -> None:
        if config.certificates and not mutual:
            raise InvalidInput("bad setting: auth.certificates needs tls.client_ca: nobody verifies them")
        self._fixed = _known(config.tokens)
        self._subjects = {one.subject: role_of(one.role) for one in config.certificates}
        self._file = _watched(config) if config.tokens_file else None
        self._from_file = _known(_parsed(self._file.contents[0])) if self._file else ()
        self._generation = 1
        self.enabled = bool(config.tokens or config.certificates or self._file)
        self.asks = self.enabled or mutual

    def check(self, method: str, metadata: Metadata, certificate_names: Sequence[str] = ()) -> str:
        """The caller's name, for the journal: `token:<name>` or `certificate:<name>`.

        Args:
            method: its full name.
            metadata: of the call.
            certificate_names: common name and alternative names of the caller's verified certificate.

        Raises:
            Unauthenticated: no token and no certificate, or unknown ones.
            Forbidden: the caller's role may not call this method.
        """
        if method in OPEN:
            return ""
        if not self.enabled:
            return f"certificate:{certificate_names[0]}" if certificate_names else ""
        name, role = self._who(_token(metadata), certificate_names)
        needed = NEEDED.get(method, CallerRole.OPERATOR)
        if role < needed:
            raise Forbidden(f"{name} is a {role.name.lower()}; {method} needs a {needed.name.lower()}")
        return name

    def admits_reader(self, authorization: str, certificate_names: Sequence[str]) -> bool:
        """Whether somebody may read this process's metrics: with any role."""
        if not self.enabled:
            return True
        try:
            self._who(_token([("authorization", authorization)]), certificate_names)
        except Unauthenticated:
            return False
        return True

    def _who(self, token: str, certificate_names: Sequence[str]) -> tuple[str, CallerRole]:
        if token:
            known = self._holder(hashlib.sha256(token.encode()).hexdigest())
            if known is None:
                raise Unauthenticated("the bearer token is not known")
            return f"token:{known.name}", known.role
        for name in certificate_names:
            if name in self._subjects:
                return f"certificate:{name}", self._subjects[name]
        raise Unauthenticated("a bearer token is needed, or a certificate that is known")

    def _holder(self, sha256: str) -> _Known | None:
        """Compares with every token in constant time: how long it takes tells nothing of how near a guess is."""
        found = None
        for known in (*self._fixed, *self._tokens_of_the_file()):
            if hmac.compare_digest(known.sha256, sha256):
                found = known
        return found

    def _tokens_of_the_file(self) -> tuple[_Known, ...]:
        if self._file is not None and self._file.look() != self._generation:
            self._generation = self._file.generation
            self._from_file = _known(_parsed(self._file.contents[0]))
        return self._from_file


def role_of(name: str) -> CallerRole:
    """The role of this name.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return CallerRole[name.upper()]
    except KeyError:
        raise InvalidInput(f"bad setting: auth: role {name!r} is not reader, caller, publisher or operator") from None


def _token(metadata: Metadata) -> str:
    header = next((value for name, value in metadata if name == "authorization"), "")
    text = header.decode("ascii", "replace") if isinstance(header, bytes) else header
    return text.removeprefix("Bearer ") if text.startswith("Bearer ") else ""


def _known(tokens: Iterable[TokenConfig]) -> tuple[_Known, ...]:
    return tuple(_Known(_hash(token), token.name, role_of(token.role)) for token in tokens)


def _hash(token: TokenConfig) -> str:
    digits = token.sha256.lower()
    if len(digits) != SHA256_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise InvalidInput(f"bad setting: auth: the sha256 of token {token.name!r} is not {SHA256_DIGITS} hex digits")
    return digits


def _watched(config: AuthConfig) -> WatchedFiles:
    return WatchedFiles([Path(config.tokens_file)], config.reload_seconds, lambda read: _check_all(_parsed(read[0])))


def _check_all(tokens: Iterable[TokenConfig]) -> None:
    _known(tokens)


def _parsed(content: bytes) -> list[TokenConfig]:
    """The tokens of a file: a YAML (or JSON) list of name, sha256 and role."""
    try:
        listed: Any = yaml.safe_load(content) or []
        return msgspec.convert(listed, list[TokenConfig])
    except (yaml.YAMLError, ValueError, *UNREADABLE) as error:
        raise InvalidInput("auth.tokens_file is no list of tokens, each with name, sha256 and role") from error
