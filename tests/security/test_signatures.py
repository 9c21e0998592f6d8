"""Signatures of versions: whose count, and that nothing else does."""

import json
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.artifacts import FolderStore
from martlet.errors import InvalidInput, Untrusted
from martlet.manifest import encode_manifest, manifest_digest
from martlet.manifest_signatures import MAX_SIGNATURE_BYTES, Signer, TrustedKeys
from martlet.signed_versions import SignatureChecks
from tests.security.authority import Authority
from tests.security.keys import key_pair
from tests.unit.core.samples import MANIFEST

DIGEST = manifest_digest(encode_manifest(MANIFEST))
OTHER = "mt1-" + "0" * 64


def test_each_of_several_trusted_keys_counts_and_no_other(tmp_path: Path) -> None:
    old, new, strange = (key_pair(tmp_path, name) for name in ("old", "new", "strange"))
    trusted = TrustedKeys([old[1], new[1]])
    for private, _ in (old, new):
        trusted.check(DIGEST, Signer(private).sign(DIGEST))
        with pytest.raises(Untrusted, match="is not that of key"):
            trusted.check(OTHER, Signer(private).sign(DIGEST))
    with pytest.raises(Untrusted, match="not trusted"):
        trusted.check(DIGEST, Signer(strange[0]).sign(DIGEST))
    with pytest.raises(Untrusted, match="not trusted"):
        TrustedKeys([new[1]]).check(DIGEST, Signer(old[0]).sign(DIGEST))


def test_a_signature_that_names_a_trusted_key_must_be_its_own(tmp_path: Path) -> None:
    own, strange = key_pair(tmp_path, "own"), key_pair(tmp_path, "strange")
    forged = json.loads(Signer(strange[0]).sign(DIGEST)) | {"key": json.loads(Signer(own[0]).sign(DIGEST))["key"]}
    with pytest.raises(Untrusted, match="is not that of key"):
        TrustedKeys([own[1]]).check(DIGEST, json.dumps(forged).encode())


def test_a_signature_of_another_format_is_not_guessed_at(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "own")
    told = json.loads(Signer(private).sign(DIGEST)) | {"format": 2}
    with pytest.raises(Untrusted, match="format 2"):
        TrustedKeys([public]).check(DIGEST, json.dumps(told).encode())


def test_whatever_bytes_come_they_are_no_signature(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "own")
    trusted, good = TrustedKeys([public]), Signer(private).sign(DIGEST)

    @given(st.binary(max_size=200) | edited(good))
    @settings(max_examples=200, deadline=None)
    def refused(encoded: bytes) -> None:
        if json_of(encoded) != json_of(good):
            with pytest.raises(Untrusted):
                trusted.check(DIGEST, encoded)

    refused()
    with pytest.raises(Untrusted):
        trusted.check(DIGEST, good + b" " * MAX_SIGNATURE_BYTES)


def edited(good: bytes) -> st.SearchStrategy[bytes]:
    return st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)).map(
        lambda edit: good[: edit[0]] + bytes([edit[1]]) + good[edit[0] + 1 :]
    )


def json_of(encoded: bytes) -> object:
    try:
        told = json.loads(encoded)
        return told["key"], b64decode(told["signature"])  # base64 has more than one way to end
    except (ValueError, TypeError, KeyError):
        return None


def test_without_trusted_keys_nobody_is_asked_and_with_them_everybody(tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "own")
    store = FolderStore(tmp_path / "artifacts")
    SignatureChecks(store, TrustedKeys([])).check(DIGEST)  # what an older release published
    checks = SignatureChecks(store, TrustedKeys([public]))
    with pytest.raises(Untrusted, match="not signed"):
        checks.check(DIGEST)
    store.put_signature(DIGEST, Signer(private).sign(DIGEST))
    checks.check(DIGEST)


def test_a_version_is_signed_again_and_loses_its_signature_with_its_manifest(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    digest = store.put_manifest(encode_manifest(MANIFEST))
    store.put_signature(digest, b"first")
    store.put_signature(digest, b"second")
    assert store.get_signature(digest) == b"second"
    store.delete_manifest(digest)
    with pytest.raises(Exception, match="not signed"):
        store.get_signature(digest)


@pytest.mark.parametrize("content", [b"", b"no key", None], ids=["empty", "no key", "absent"])
def test_a_file_that_is_no_key_is_a_bad_setting(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    for read in (Signer, lambda path: TrustedKeys([path])):
        with pytest.raises(InvalidInput, match="signing"):
            read(path)


def test_another_kind_of_key_is_a_bad_setting(tmp_path: Path) -> None:
    pair = Authority(tmp_path).pair("elliptic")
    with pytest.raises(InvalidInput, match="no Ed25519 key"):
        Signer(pair.key)
