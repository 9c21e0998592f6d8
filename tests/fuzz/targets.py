"""What is fed hostile bytes: every reader of something that comes from outside, with good bytes to begin from.

A target takes bytes and returns, or raises one of the domain's errors: whatever else comes is a crash.
"""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from martlet.allowed_operators import check_operators
from martlet.errors import MartletError
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.segment import DURABLE, MAX_RECORD, SEGMENT_HEADER
from martlet.events import ItemDelete, ItemUpsert
from martlet.feature_encoding import signature_of
from martlet.manifest import decode_manifest, encode_manifest
from martlet.manifest_signatures import Signer, TrustedKeys
from martlet.row_encoding import RowEncoding
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig, RegistryConfig, load_config
from martlet.table_blobs import (
    TableBase,
    TableDelta,
    decode_base,
    decode_delta,
    decode_dense,
    encode_base,
    encode_delta,
    encode_dense,
)
from martlet.table_layout import empty_keys
from martlet.wire.events import decode_event, encode_event
from martlet.wire.recorded import RecordedPrediction
from registry_svc.admission import AdmissionPolicy, check_address, check_manifest
from registry_svc.policy_file import load_policies
from serving_svc.onnx_initializers import external_initializers
from tests.integration.tiny_version import lookup_model
from tests.security.keys import key_pair
from tests.unit.checkpoints.test_part_file import written
from tests.unit.core.samples import MANIFEST, SPEC
from tests.unit.trainer.fakes import SPEC as OWN_SPEC
from tests.unit.trainer.streams import MODEL, START, Label, outcome, prediction
from trainer_svc.checkpoints.part_file import read_body, read_head
from trainer_svc.event_source import Cut, Place
from trainer_svc.intake import Intake, IntakeRules
from trainer_svc.journal import Stepped, decode_entry, encode_entry

FINE = (MartletError,)
BUCKETS, WIDTH = 8, 4


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        seeds: good bytes.
        read: takes any bytes.
    """

    seeds: Sequence[bytes]
    read: Callable[[bytes], object]


def targets(folder: Path) -> dict[str, Target]:
    """All readers that need no service. `folder`: for files."""
    return {
        "events": _events(),
        "trainer intake": _intake(),
        "log segment": _segment(folder / "log"),
        "journal": Target([encode_entry(Stepped(Cut((), ("a",)), 5))], decode_entry),
        "manifest": Target([encode_manifest(MANIFEST)], _manifest),
        "signature": _signature(folder),
        "base": Target([encode_base(_base())], lambda data: decode_base(data, WIDTH, BUCKETS)),
        "delta": Target(
            [encode_delta(_delta(), encoding) for encoding in RowEncoding],
            lambda data: decode_delta(data, WIDTH, BUCKETS),
        ),
        "dense": Target([encode_dense({"w": np.ones((2, 3), np.float32)})], decode_dense),
        "checkpoint": _checkpoint(folder),
        "graph": Target([lookup_model(64).SerializeToString()], _graph),
        "settings": _settings(folder),
        "rollout policy": _policy(folder),
        "tokens": _tokens(folder),
    }


def _events() -> Target:
    made = [
        encode_event(prediction(1)),
        encode_event(outcome("e", 1)),
        encode_event(ItemUpsert("shop", 3, {"item.price": 2.0, "item.tags": ["a", 7]}, 5)),
        encode_event(ItemDelete("shop", "x", 5)),
    ]

    def read(data: bytes) -> None:
        _ignoring(lambda: decode_event(data))
        _ignoring(lambda: RecordedPrediction(data).check(SPEC.layout))

    return Target(made, read)


def _ignoring(read: Callable[[], object]) -> None:
    try:
        read()
    except FINE:
        return


def _intake() -> Target:
    """Whatever stands in the log, the trainer goes on: it never raises."""
    rules = IntakeRules(MODEL, OWN_SPEC, Label(), 3_600_000_000)
    kept: dict[Place, bytes] = {}
    intake = Intake(rules, lambda place: kept[place])
    number = 0

    def read(data: bytes) -> None:
        nonlocal number
        number += 1
        place = Place("p", number)
        kept[place] = data
        intake.take_in(place, data, START)
        intake.finish(Cut((), ()), START)

    return Target([encode_event(prediction(n, items=(1, 2))) for n in range(3)] + [encode_event(outcome("e", 1))], read)


def _segment(root: Path) -> Target:
    writer = FileEventWriter(root, "p")
    for number in range(3):
        writer.append(encode_event(prediction(number))).result(10)
    writer.close()
    (path,) = (root / "p").glob("*.log")
    good = path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        (root / "p" / DURABLE).write_bytes(max(0, len(data) - SEGMENT_HEADER.size).to_bytes(8, "little"))
        reader, at = FileEventReader(root), 0
        try:
            while records := reader.read("p", at, 1 << 16):
                assert records[-1].end > at
                assert all(len(record.payload) <= MAX_RECORD for record in records)
                at = records[-1].end
        finally:
            reader.close()

    return Target([good], read)


def _manifest(data: bytes) -> None:
    manifest = decode_manifest(data)
    check_address(manifest)
    check_manifest(manifest, None, AdmissionPolicy(2.0))
    signature_of(manifest.feature_spec)


def _signature(folder: Path) -> Target:
    private, public = key_pair(folder, "publisher")
    trusted, digest = TrustedKeys([public]), "mt1-" + "0" * 64
    good = Signer(private).sign(digest)
    return Target([good], lambda data: trusted.check(digest, data))


def _base() -> TableBase:
    keys = np.repeat(empty_keys(BUCKETS)[:, None], 4, axis=1)
    return TableBase(keys, np.zeros((BUCKETS, 4, WIDTH), np.float32), np.zeros((2, WIDTH), np.float32))


def _delta() -> TableDelta:
    keys, rows = np.ones((2, 4), np.int64), np.ones((2, 4, WIDTH), np.float32)
    return TableDelta.of_buckets(1, "p", np.array([1, 5], np.int32), keys, rows, np.ones((2, WIDTH), np.float32))


def _checkpoint(folder: Path) -> Target:
    base, change = written(folder)
    place = folder / "fuzzed.base"

    def read(data: bytes) -> None:
        place.write_bytes(data)
        read_body(place, read_head(place)[0])

    return Target([base.read_bytes(), change.read_bytes()], read)


def _graph(data: bytes) -> None:
    check_operators(data)
    external_initializers(data)


def _settings(folder: Path) -> Target:
    place = folder / "settings.yaml"
    good = {
        "data_dir": "somewhere",
        "serving": {"grpc_port": 1, "shadow_share": 0.5, "workers": 2},
        "auth": {"tokens": [{"name": "a", "sha256": "0" * 64, "role": "reader"}]},
        "tls": {"certificate": "x", "insecure": True},
        "tracing": {"share": 0.1},
    }

    def read(data: bytes) -> None:
        place.write_bytes(data)
        load_config(place, {})

    return Target([yaml.safe_dump(good).encode(), json.dumps(good).encode()], read)


def _policy(folder: Path) -> Target:
    place = folder / "rollout.yaml"
    good = {"default": {"mode": "live", "live": {"steps": [0, 500, 9000]}}, "models": {"shop": {"quality": "health"}}}

    def read(data: bytes) -> None:
        place.write_bytes(data)
        load_policies(RegistryConfig(rollout=str(place)))

    return Target([yaml.safe_dump(good).encode()], read)


def _tokens(folder: Path) -> Target:
    place = folder / "tokens.yaml"
    good = [{"name": name, "sha256": "0" * 64, "role": "reader"} for name in ("a", "b")]

    def read(data: bytes) -> None:
        place.write_bytes(data)
        Authorizer(AuthConfig(tokens_file=str(place)))

    return Target([yaml.safe_dump(good).encode()], read)


def scratch() -> Path:
    """A new folder; on a disk in memory where there is one, for targets write a file for each input."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="martlet-fuzz-", dir=shared if os.access(shared, os.W_OK) else None))
