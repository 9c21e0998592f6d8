"""Admission's policy on literal manifests: nothing is read."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from martlet.errors import InvalidInput
from martlet.feature_spec import FeatureSpec
from martlet.manifest import BlobRef, Manifest, VersionKind
from registry_svc.admission import AdmissionPolicy, check_address, check_manifest, specials_of
from tests.unit.core.samples import MANIFEST, SPEC, blob

POLICY = AdmissionPolicy(max_mean_logit_shift=2.0)
TABLE = MANIFEST.tables[0]
PARENT = replace(MANIFEST, tables=(replace(TABLE, deltas=TABLE.deltas[:1]),))
SNAPSHOT = replace(MANIFEST, kind=VersionKind.SNAPSHOT, tables=(replace(TABLE, deltas=()),))


def with_table(**changes: object) -> Manifest:
    return replace(MANIFEST, tables=(replace(TABLE, **changes),))  # type: ignore[arg-type]


def with_chain(*deltas: BlobRef) -> Manifest:
    return with_table(deltas=deltas)


def with_spec(spec: FeatureSpec) -> Manifest:
    return replace(MANIFEST, feature_spec=spec)


def test_a_good_delta_passes() -> None:
    check_manifest(MANIFEST, PARENT, POLICY)


def test_a_delta_that_changed_no_row_passes() -> None:
    check_manifest(MANIFEST, MANIFEST, POLICY)


def test_a_good_snapshot_passes_with_any_parent_or_none() -> None:
    for parent in (None, PARENT, replace(PARENT, graph=blob(b"other"), tables=())):
        check_manifest(SNAPSHOT, parent, POLICY)


def test_tables_of_float16_pass() -> None:
    child, parent = (
        replace(manifest, tables=(replace(manifest.tables[0], dtype="float16"),)) for manifest in (MANIFEST, PARENT)
    )
    check_manifest(child, parent, POLICY)


def test_whether_an_unknown_parent_is_the_head_is_not_asked_here() -> None:
    check_manifest(MANIFEST, None, POLICY)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (replace(MANIFEST, signature=replace(MANIFEST.signature, outputs=())), "signature"),
        (with_spec(replace(SPEC, golden=(("user-1", 5),))), "hashes 'user-1' to 5"),
        (replace(MANIFEST, graph=blob(b"other")), "graph"),
        (replace(MANIFEST, tables=()), "tables"),
        (replace(MANIFEST, tables=(TABLE, TABLE)), "of its own"),
        (replace(MANIFEST, tables=(TABLE, replace(TABLE, name="t5"))), "of its own"),
        (with_table(dtype="int8"), "int8"),
        (with_table(dtype="float16"), "parent's base"),
        (with_table(width=5), "no id feature of width 5"),
        (with_table(base=blob(b"other")), "base"),
        (with_table(buckets=17), "base"),
        (with_chain(), "extends"),
        (with_chain(TABLE.deltas[1]), "extends"),
        (with_chain(*TABLE.deltas, blob(b"delta 3")), "extends"),
        (with_chain(blob(b"rewritten"), TABLE.deltas[1]), "extends"),
        (replace(MANIFEST, lineage=replace(MANIFEST.lineage, parent="")), "needs a parent"),
        (replace(SNAPSHOT, tables=MANIFEST.tables), "snapshot"),
    ],
)
def test_what_contradicts_itself_or_its_parent_is_refused(fault: Manifest, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        check_manifest(fault, PARENT, POLICY)


@pytest.mark.parametrize("value", [2.0001, float("nan"), float("inf"), -0.1])
@pytest.mark.parametrize("manifest", [MANIFEST, SNAPSHOT])
def test_answers_that_would_move_too_far_are_refused(value: float, manifest: Manifest) -> None:
    with pytest.raises(InvalidInput):
        check_manifest(replace(manifest, metrics={"mean_abs_logit_shift": value}), PARENT, POLICY)


@pytest.mark.parametrize("metrics", [{}, {"mean_abs_logit_shift": 2.0}, {"mean_abs_logit_shift": 0.0}])
def test_answers_that_move_within_the_limit_pass(metrics: dict[str, float]) -> None:
    check_manifest(replace(MANIFEST, metrics=metrics), PARENT, POLICY)


def test_every_metric_is_a_number() -> None:
    with pytest.raises(InvalidInput, match="logloss"):
        check_manifest(replace(MANIFEST, metrics={"logloss": float("nan")}), PARENT, POLICY)


def test_special_rows_are_the_zero_row_and_one_for_each_id_feature_of_the_width() -> None:
    assert (specials_of(SPEC, 4), specials_of(SPEC, 0), specials_of(SPEC, 8)) == (4, 1, 1)


Change = Callable[[Manifest], Manifest]


def lineage(**changes: object) -> Change:
    return lambda manifest: replace(manifest, lineage=replace(manifest.lineage, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: replace(m, model=""), "model"),
        (lambda m: replace(m, model="x" * 201), "model"),
        (lambda m: replace(m, model="a\nb"), "model"),
        (lineage(parent="../../etc/passwd"), "parent"),
        (lineage(epoch=-1), "epoch"),
        (lineage(epoch=1 << 63), "epoch"),
    ],
)
def test_what_cannot_be_recorded_is_told_to_the_caller(change: Change, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        check_address(change(MANIFEST))


def test_a_usual_address_is_recorded() -> None:
    check_address(MANIFEST)
    check_address(lineage(parent="", epoch=(1 << 63) - 1)(replace(MANIFEST, model="x" * 200)))
