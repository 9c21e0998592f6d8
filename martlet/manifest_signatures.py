"""Signatures of versions: a publisher signs a manifest's digest, and whoever serves it can tell by whom it was made.

A signature travels beside the manifest, not in it: the digest stays what it is, and a version can be signed again with
another key. Format 1: JSON of the key's id and the Ed25519 signature (RFC 8032) of `martlet-manifest-signature 1`, a
line break, and the digest. A key's id is the first 16 hex digits of SHA-256 of its 32 bytes.
Needs the package cryptography (the extra `signing`) once there is a key to sign or to verify with.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from martlet.decoding import UNREADABLE
from martlet.errors import InvalidInput, Untrusted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_FORMAT: Final = 1
MAX_SIGNATURE_BYTES: Final = 4096


class ManifestSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signed, and the 64 bytes of the signature."""

    key: str
    signature: bytes
    format: int


_SIGNATURES: Final[msgspec.json.Decoder[ManifestSignature]] = msgspec.json.Decoder(ManifestSignature)


class Signer:
    """Signs with one private key. Thread-safe.

    Raises:
        InvalidInput: the file holds no Ed25519 private key in PEM, or the package is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._key = _private_key(path)
        self._id = _key_id(self._key.public_key())

    def sign(self, digest: str) -> bytes:
        """The signature of a manifest's digest, as it travels."""
        return msgspec.json.encode(ManifestSignature(self._id, self._key.sign(_signed(digest)), SIGNATURE_FORMAT))


class TrustedKeys:
    """The publishers whose signatures count. Thread-safe. Without keys nobody is asked.

    Raises:
        InvalidInput: a file holds no Ed25519 public key in PEM, or the package is not installed.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._keys = {_key_id(key): key for key in map(_public_key, paths)}

    @property
    def required(self) -> bool:
        """Whether versions must be signed."""
        return bool(self._keys)

    def check(self, digest: str, encoded: bytes) -> None:
        """Whether a trusted publisher signed the manifest of this digest. `encoded`: its signature as it travels.

        Raises:
            Untrusted: nobody did.
        """
        signature = _decoded(encoded)
        key = self._keys.get(signature.key)
        if key is None:
            raise Untrusted(f"version {digest} is signed with key {signature.key!r}, which is not trusted here")
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  the extra `signing`

        try:
            key.verify(signature.signature, _signed(digest))
        except InvalidSignature:
            raise Untrusted(f"the signature of version {digest} is not that of key {signature.key!r}") from None


def _decoded(encoded: bytes) -> ManifestSignature:
    if len(encoded) > MAX_SIGNATURE_BYTES:
        raise Untrusted(f"a signature of {len(encoded)} bytes is none")
    try:
        signature = _SIGNATURES.decode(encoded)
    except UNREADABLE as error:
        raise Untrusted(f"the signature cannot be read: {error}") from error
    if signature.format != SIGNATURE_FORMAT:
        raise Untrusted(f"signature format {signature.format} is not known here (known: {SIGNATURE_FORMAT})")
    return signature


def _signed(digest: str) -> bytes:
    return f"martlet-manifest-signature {SIGNATURE_FORMAT}\n{digest}".encode()


def _key_id(key: "Ed25519PublicKey") -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _private_key(path: Path) -> "Ed25519PrivateKey":
    serialization, ed25519 = _library()
    try:
        key = serialization.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"bad setting: signing.key: {path.name} is no open private key in PEM") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InvalidInput(f"bad setting: signing.key: {path.name} is no Ed25519 key")
    return cast("Ed25519PrivateKey", key)


def _public_key(path: Path) -> "Ed25519PublicKey":
    serialization, ed25519 = _library()
    try:
        key = serialization.load_pem_public_key(_read(path))
    except ValueError as error:
        raise InvalidInput(f"bad setting: signing.trusted: {path.name} is no public key in PEM") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InvalidInput(f"bad setting: signing.trusted: {path.name} is no Ed25519 key")
    return cast("Ed25519PublicKey", key)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"bad setting: signing: cannot read {path}: {error.strerror}") from error


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  the extra `signing`
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError as error:
        raise InvalidInput("bad setting: signing needs the package cryptography: install martlet[signing]") from error
    return serialization, ed25519
