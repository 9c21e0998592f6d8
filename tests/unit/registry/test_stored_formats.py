"""What the registry stores, format 1: golden files of a decision, of evidence and of a judge read and write as ever."""

from pathlib import Path

import msgspec

from martlet.evidence import EvidenceBatch, Loss
from registry_svc.journal import Decision, DecisionKind
from registry_svc.model_judge import JUDGE_FORMAT, JudgeRecord

GOLDEN = Path(__file__).parents[2] / "golden"


def test_the_golden_decision_still_reads_and_is_still_written_so() -> None:
    """`decision_v2` is the same decision as written since decisions name the verified caller."""
    golden = (GOLDEN / "decision_v2.json").read_bytes()
    decision = msgspec.json.decode(golden, type=Decision)
    assert (decision.kind, decision.lane.rewinding, len(decision.evidence) > 0) == (DecisionKind.ALARM, True, True)
    assert msgspec.json.encode(decision) == golden
    assert msgspec.json.decode((GOLDEN / "decision_v1.json").read_bytes(), type=Decision) == decision


def test_a_decision_from_before_the_judge_still_reads() -> None:
    """Fields that came later have defaults."""
    old = b'{"kind":"head","detail":"","time_us":5,"lane":{"model":"shop","epoch":1,"revision":2}}'
    decision = msgspec.json.decode(old, type=Decision)
    assert (decision.lane.weight, decision.lane.trial, decision.who) == (0, None, "")


def test_the_golden_evidence_still_reads_and_is_still_written_so() -> None:
    """`evidence_v2` is the same batch as written since a batch says which loss it is of."""
    golden = (GOLDEN / "evidence_v2.msgpack").read_bytes()
    batch = msgspec.msgpack.decode(golden, type=EvidenceBatch)
    assert (len(batch.rows), batch.loss) == (50, Loss.LOG)
    assert msgspec.msgpack.encode(batch) == golden
    assert msgspec.msgpack.decode((GOLDEN / "evidence_v1.msgpack").read_bytes(), type=EvidenceBatch) == batch


def test_the_golden_judge_still_reads_and_is_still_written_so() -> None:
    """`judge_v2`: the same, written since judges know their loss; `judge_v3`: since they know who came when."""
    golden = (GOLDEN / "judge_v3.msgpack").read_bytes()
    record = msgspec.msgpack.decode(golden, type=JudgeRecord)
    assert (record.format, record.batches > 0, record.lane is not None) == (JUDGE_FORMAT, True, True)
    assert msgspec.msgpack.encode(record) == golden
    for older in ("judge_v1.msgpack", "judge_v2.msgpack"):
        assert msgspec.msgpack.decode((GOLDEN / older).read_bytes(), type=JudgeRecord) == record
