"""Who may call what. Off while no token is configured; then every call needs one.

Roles contain one another: an operator may do what a publisher may, a publisher what a caller may, a caller what a
reader may. Health checks and reflection are open.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

from martlet.errors import Forbidden, InvalidInput, Unauthenticated
from martlet.runtime.config import AuthConfig

Metadata = Sequence[tuple[str, str | bytes]]


class CallerRole(IntEnum):
    """What a caller may do, from least to most."""

    READER = 1
    CALLER = 2
    PUBLISHER = 3
    OPERATOR = 4


OPEN_SERVICES: Final = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")

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
}


class Authorizer:
    """Checks a call's bearer token against the table. Thread-safe: nothing changes after construction."""

    def __init__(self, config: AuthConfig) -> None:
        self._roles = {token.sha256.lower(): (token.name, _role(token.role)) for token in config.tokens}

    @property
    def enabled(self) -> bool:
        """Whether any token is configured."""
        return bool(self._roles)

    def check(self, method: str, metadata: Metadata) -> str:
        """The caller's name.

        Raises:
            Unauthenticated: no token, or an unknown one.
            Forbidden: the token's role may not call this method.
        """
        if not self.enabled or method.split("/")[1] in OPEN_SERVICES:
            return ""
        name, role = self._who(metadata)
        needed = NEEDED.get(method, CallerRole.OPERATOR)
        if role < needed:
            raise Forbidden(f"{name} is a {role.name.lower()}; {method} needs a {needed.name.lower()}")
        return name

    def _who(self, metadata: Metadata) -> tuple[str, CallerRole]:
        header = next((value for name, value in metadata if name == "authorization"), "")
        text = header.decode("ascii", "replace") if isinstance(header, bytes) else header
        if not text.startswith("Bearer "):
            raise Unauthenticated("a bearer token is needed")
        # Looking the hash up leaks no timing about the secret itself.
        known = self._roles.get(hashlib.sha256(text.removeprefix("Bearer ").encode()).hexdigest())
        if known is None:
            raise Unauthenticated("the bearer token is not known")
        return known


def _role(name: str) -> CallerRole:
    try:
        return CallerRole[name.upper()]
    except KeyError:
        raise InvalidInput(
            f"bad setting: auth.tokens role {name!r} is not reader, caller, publisher or operator"
        ) from None
