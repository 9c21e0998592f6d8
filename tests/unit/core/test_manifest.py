"""A manifest is addressed by its canonical JSON, and read strictly."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from martlet.errors import Corrupt
from martlet.manifest import MAX_MANIFEST_BYTES, decode_manifest, encode_manifest, manifest_digest
from tests.unit.core.samples import MANIFEST

GOLDEN = Path(__file__).parents[2] / "golden" / "manifest_v1.json"


def test_the_golden_manifest_still_reads_and_keeps_its_digest() -> None:
    encoded = GOLDEN.read_bytes()
    assert decode_manifest(encoded) == MANIFEST
    assert encode_manifest(MANIFEST) == encoded
    assert manifest_digest(encoded) == "mt1-988c9ac8442b54babd70b85a9b143fe81c0cd46233fae87176d1de2dafb17957"


def test_another_content_is_another_version() -> None:
    other = replace(MANIFEST, metrics={"auc": 0.76})
    assert manifest_digest(encode_manifest(other)) != manifest_digest(encode_manifest(MANIFEST))


def test_blobs_are_listed_in_loading_order() -> None:
    table = MANIFEST.tables[0]
    assert MANIFEST.blobs() == (MANIFEST.graph, MANIFEST.dense, table.base, *table.deltas)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2"),
        ({"format": None}, "format None"),
        ({"kind": "patch"}, "kind"),
        ({"graph": {"digest": "x"}}, "size"),
        ({"surprise": 1}, "canonical"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(change: dict[str, object], message: str) -> None:
    content = json.loads(encode_manifest(MANIFEST)) | change
    encoded = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(Corrupt, match=message):
        decode_manifest(encoded)


def test_spaces_are_not_canonical() -> None:
    with pytest.raises(Corrupt, match="canonical"):
        decode_manifest(json.dumps(json.loads(encode_manifest(MANIFEST)), sort_keys=True).encode())


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b"\xff\xfe", b"{" + b" " * MAX_MANIFEST_BYTES + b"}"])
def test_what_is_no_manifest_is_refused(bad: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_manifest(bad)
