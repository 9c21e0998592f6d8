"""Errors in the domain's own words.

`martlet.runtime.edge` maps each class to a gRPC status, once; nothing else knows of status codes.
"""


class MartletError(Exception):
    """Something a caller can be told about."""


class NotFound(MartletError):
    """There is no such model, version, blob or prediction."""


class InvalidInput(MartletError):
    """The input breaks a stated rule; the message says which input and which rule."""


class NotReady(MartletError):
    """The thing exists but cannot serve yet, or is draining. Trying again may help."""


class OverCapacity(MartletError):
    """A bounded queue is full.

    Attributes:
        retry_after_ms: when trying again makes sense.
    """

    def __init__(self, message: str, retry_after_ms: int = 50) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class DeadlinePassed(MartletError):
    """The caller's deadline was over before the work began, so it was not done."""


class Conflict(MartletError):
    """The state does not allow it: another head, another epoch, a quarantined parent."""


class AlreadyExists(MartletError):
    """The name is taken by something else."""


class Unauthenticated(MartletError):
    """The caller did not say who it is, or the token is unknown."""


class Forbidden(MartletError):
    """The caller is known but may not do this."""


class Untrusted(Forbidden):
    """No publisher who is trusted here signed this version."""


class Corrupt(MartletError):
    """Stored or received bytes are not what their digest or format says."""


class Unavailable(MartletError):
    """Another service does not answer. Trying again may help."""
