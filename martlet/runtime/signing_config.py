"""Settings of signed manifests: section `signing`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SigningConfig:
    """Who signs versions, and whose signatures count. All keys are Ed25519, in PEM files.

    Attributes:
        key: the private key with which this process (a trainer, `martlet publish`) signs what it publishes; empty:
            what it publishes is unsigned.
        trusted: the public keys of publishers. The registry admits, and serving loads, only versions that one of them
            signed; several, so that a key can be replaced. Empty: signatures are not looked at.
    """

    key: str = ""
    trusted: tuple[str, ...] = ()
