"""The judges of all models, kept in step with the catalog: each batch is folded once, and written before it counts."""

from martlet.errors import MartletError
from martlet.evidence import EvidenceBatch
from registry_svc.catalog import Standing
from registry_svc.judge_log import JudgedBatch, JudgeLog
from registry_svc.lane import Lane
from registry_svc.model_judge import ModelJudge
from registry_svc.policy import Policies


class JudgeDesk:
    """Blocking; used from the catalog's thread alone."""

    def __init__(self, log: JudgeLog, policies: Policies) -> None:
        self._log = log
        self._policies = policies
        self._judges: dict[str, ModelJudge] = {}

    def take(self, batch: EvidenceBatch, standing: Standing) -> bool:
        """Judges a batch, once. False: it was here already.

        Raises:
            Moved: another registry has judged meanwhile; take it again.
            Unavailable: the database does not answer; nothing was judged.
        """
        judge = self.of(standing.lane)
        if judge.knows(batch):
            return False
        judge.fold(batch, standing.lane)
        try:
            self._log.add(JudgedBatch(judge.batches, standing.decisions, batch), judge.record())
        except MartletError:
            del self._judges[batch.model]  # what was not written was not judged
            raise
        return True

    def of(self, lane: Lane) -> ModelJudge:
        """A model's judge, looking at the lane as it stands."""
        judge = self._judges.get(lane.model)
        if judge is None or judge.batches != self._log.batches(lane.model):
            judge = ModelJudge(self._policies.of(lane.model), self._log.load(lane.model))
            self._judges[lane.model] = judge
        judge.look_at(lane)
        return judge

    def forget(self, model: str, keep: int) -> int:
        """Drops all but the newest batches."""
        return self._log.forget(model, keep)
