"""A blob that arrives damaged is read again before it is called corrupt: the store may hold it whole."""

from typing import cast

import pytest

from martlet.artifacts.s3.bucket import Bucket
from martlet.artifacts.s3.store import S3Store
from martlet.digest import blob_digest
from martlet.errors import Corrupt
from martlet.manifest import BlobRef, manifest_digest

DATA = b'{"honest": "bytes"}'


class Flipping:
    """A bucket of one object, whose first answers arrive with a bit flipped."""

    def __init__(self, damaged: int) -> None:
        self.damaged = damaged
        self.reads = 0

    def read(self, _key: str) -> bytes:
        self.reads += 1
        return DATA[:-1] + b"~" if self.reads <= self.damaged else DATA


@pytest.mark.parametrize("damaged", [0, 1, 3])
def test_it_is_read_again(damaged: int) -> None:
    bucket = Flipping(damaged)
    store = S3Store(cast("Bucket", bucket), pauses=(0.0, 0.0, 0.0))
    assert store.get(BlobRef(blob_digest(DATA), len(DATA))) == DATA
    assert bucket.reads == damaged + 1
    bucket.reads = 0
    assert store.get_manifest(manifest_digest(DATA)) == DATA


def test_what_is_damaged_each_time_is_corrupt() -> None:
    bucket = Flipping(9)
    store = S3Store(cast("Bucket", bucket), pauses=(0.0, 0.0, 0.0))
    with pytest.raises(Corrupt, match="does not match its digest"):
        store.get(BlobRef(blob_digest(DATA), len(DATA)))
    assert bucket.reads == 4
