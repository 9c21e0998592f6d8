"""Signed versions in the artifact store: signed before they are published, verified before they are used."""

from pathlib import Path
from typing import Protocol

from martlet.artifacts.port import SignatureStore
from martlet.errors import NotFound, Untrusted
from martlet.manifest import manifest_digest
from martlet.manifest_signatures import Signer, TrustedKeys
from martlet.versions import LineageState, VersionRecord


class Publishing(Protocol):
    """The part of a registry client that who publishes needs."""

    def publish(self, manifest: bytes) -> VersionRecord:
        """Offers a version."""
        ...

    def lineage(self, model: str) -> LineageState:
        """Where a model's lineage stands."""
        ...

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """Training stands where that version was made."""
        ...


class SigningPublisher:
    """Signs each version that it publishes; its signature is in the store before the registry hears of it."""

    def __init__(self, registry: Publishing, signatures: SignatureStore, signer: Signer) -> None:
        self._registry = registry
        self._signatures = signatures
        self._signer = signer

    def publish(self, manifest: bytes) -> VersionRecord:
        """Signs, then offers.

        Raises:
            OSError: the store does not take the signature; nothing was offered.
        """
        digest = manifest_digest(manifest)
        self._signatures.put_signature(digest, self._signer.sign(digest))
        return self._registry.publish(manifest)

    def lineage(self, model: str) -> LineageState:
        """As of the registry."""
        return self._registry.lineage(model)

    def acknowledge_rewind(self, model: str, epoch: int, digest: str) -> None:
        """As of the registry."""
        self._registry.acknowledge_rewind(model, epoch, digest)


def signed_with(key: str, registry: Publishing, signatures: SignatureStore) -> Publishing:
    """The registry, as versions are published there: signed with the key in this file; "": unsigned.

    Raises:
        InvalidInput: the file holds no such key.
    """
    return SigningPublisher(registry, signatures, Signer(Path(key))) if key else registry


class SignatureChecks:
    """Whether versions are signed by whom this process trusts. Blocking, thread-safe."""

    def __init__(self, signatures: SignatureStore, trusted: TrustedKeys) -> None:
        self._signatures = signatures
        self._trusted = trusted

    def check(self, digest: str) -> None:
        """Passes a version, or says why not. Without trusted keys every version passes.

        Raises:
            Untrusted: no trusted publisher signed it.
            OSError: the store cannot be read.
        """
        if not self._trusted.required:
            return
        try:
            encoded = self._signatures.get_signature(digest)
        except NotFound:
            raise Untrusted(f"version {digest} is not signed, and only signed versions are taken here") from None
        self._trusted.check(digest, encoded)
