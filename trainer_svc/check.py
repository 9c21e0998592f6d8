"""Can this model be learned and served? What `martlet check` runs: export, operators, parity, determinism."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from martlet.errors import InvalidInput
from martlet.learn import Model
from trainer_svc.batch import Batch
from trainer_svc.dense_model import DenseModel
from trainer_svc.export import parity
from trainer_svc.export.blame import (
    layer_not_exported,
    layer_that_mixes_rows,
    layer_with_hidden_state,
    layer_without_parity,
)
from trainer_svc.export.exporter import Exporter
from trainer_svc.export.operators import operators_of
from trainer_svc.learner import Learner
from trainer_svc.made_up import made_up_batch, made_up_block, one_row

_BUCKETS: Final = 64  # small, so that the tables grow on the way
_STEPS: Final = 12
_SIZE: Final = 48
_NOW_US: Final = 1_700_000_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in a sentence."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings on a model."""

    model: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether the model can be learned and served."""
        return all(finding.passed for finding in self.findings)

    def render(self) -> str:
        """For people, one line a finding."""
        lines = [
            f"{'ok  ' if finding.passed else 'FAIL'}  {finding.name}: {finding.detail}" for finding in self.findings
        ]
        verdict = "can be learned and served" if self.passed else "cannot be served as it is"
        return "\n".join([*lines, f"model {self.model!r} {verdict}"])


def check(model: Model, seed: int = 0) -> CheckReport:
    """Learns made-up batches and checks what must hold. Takes some seconds.

    Later checks need what earlier ones made: after a failure the rest is left out.
    """
    random = np.random.default_rng(seed)
    batches = [made_up_batch(model.spec, random, _SIZE, model.head) for _ in range(_STEPS)]
    subject = _Subject(model, batches, random)
    findings: list[Finding] = []
    for name, test in subject.tests():
        try:
            findings.append(Finding(name, *test()))
        except InvalidInput as error:
            findings.append(Finding(name, passed=False, detail=str(error)))
        if not findings[-1].passed:
            break
    return CheckReport(model.name, tuple(findings))


class _Subject:
    """A learner of the model that has learned half of the batches, and its export."""

    def __init__(self, model: Model, batches: list[Batch], random: np.random.Generator) -> None:
        self._model = model
        self._batches = batches
        self._random = random
        self._learner = Learner(model, _BUCKETS)
        self._exporter = Exporter(model)

    def tests(self) -> list[tuple[str, Callable[[], tuple[bool, str]]]]:
        return [
            ("learning", self._learning),
            ("determinism", self._determinism),
            ("independence", self._independence),
            ("export", self._export),
            ("operators", self._operators),
            ("parity", self._parity),
            ("parity after a swap", self._parity_after_swap),
        ]

    def _learning(self) -> tuple[bool, str]:
        half = self._batches[: _STEPS // 2]
        losses = [self._learner.learn(batch, _NOW_US) for batch in half]
        rows = sum(table.size for table in self._learner.tables.values())
        return bool(
            np.isfinite(losses).all()
        ), f"{len(half)} batches of {_SIZE}, {rows} rows, last loss {losses[-1]:.4f}"

    def _determinism(self) -> tuple[bool, str]:
        """Again from the start, and again from a restored state in the middle."""
        again = Learner(self._model, _BUCKETS)
        for batch in self._batches[: _STEPS // 2]:
            again.learn(batch, _NOW_US)
        restored = Learner(self._model, _BUCKETS)
        restored.restore({name: array.copy() for name, array in self._learner.state().items()})
        for batch in self._batches[_STEPS // 2 :]:
            again.learn(batch, _NOW_US)
            restored.learn(batch, _NOW_US)
        odd = differing(again, restored)
        if not odd:
            return True, "the same calls give the same bits, after a restore too"
        place = layer_with_hidden_state(DenseModel(self._model))
        return False, f"differs: {', '.join(odd[:5])}{_blamed(place, 'keeps a state that is no buffer')}"

    def _independence(self) -> tuple[bool, str]:
        block = made_up_block(self._model.spec, self._random, 9, users=9)
        together = self._learner.predict(block)
        alone = np.concatenate([self._learner.predict(one_row(block, row)) for row in range(block.rows)])
        worst = float(np.max(np.abs(together - alone) / np.maximum(1.0, np.abs(alone))))
        detail = f"an example scored alone or among others differs by {worst:.1e}"
        if worst <= parity.MAX_LOGIT_DIFFERENCE:
            return True, detail
        return False, detail + _blamed(layer_that_mixes_rows(self._learner.dense), "looks at the rows beside it")

    def _export(self) -> tuple[bool, str]:
        try:
            graph = self._exporter.graph(self._learner)
        except InvalidInput as error:
            return (
                False,
                f"{error}{_blamed(layer_not_exported(DenseModel(self._model)), 'cannot be exported by itself')}",
            )
        weights = len(self._learner.dense_weights())
        return True, f"{weights} dense weights under their names, graph of {len(graph):,} bytes"

    def _operators(self) -> tuple[bool, str]:
        found = operators_of(self._exporter.graph(self._learner))
        if found.foreign:
            return False, f"operators of {', '.join(found.foreign)} are not in every runtime"
        names = ", ".join(f"{name} {count}" for name, count in found.counts.items())
        return True, f"standard operators of opset {found.opset}: {names}"

    def _parity(self) -> tuple[bool, str]:
        spec = self._model.spec
        blocks = [made_up_block(spec, self._random, n, users) for n, users in ((1, 1), (7, 1), (64, 3), (257, 257))]
        found = []
        for optimise in (True, False):
            arrays = self._exporter.arrays(self._learner)
            scorer = parity.OnnxScorer(self._exporter.graph(self._learner), arrays, optimise=optimise)
            found.append(parity.check(self._learner, scorer, blocks))
        worst = max(found, key=lambda each: (each.score, each.logit))
        detail = f"{worst.rows} rows, optimised and plain: probabilities {worst.score:.1e}, logits {worst.logit:.1e}"
        if all(each.holds for each in found):
            return True, detail
        place = layer_without_parity(self._learner.dense)
        return False, f"{detail}, most in {worst.worst!r}{_blamed(place, 'gives other numbers in onnxruntime')}"

    def _parity_after_swap(self) -> tuple[bool, str]:
        """Other weights in the same graph: nothing of the old ones may have been folded into it."""
        for batch in self._batches[_STEPS // 2 :]:
            self._learner.learn(batch, _NOW_US)
        return self._parity()


def _blamed(place: str, what: str) -> str:
    return f"; {place} {what}" if place else ""


def differing(left: Learner, right: Learner) -> list[str]:
    """The names of state arrays that are not bit-equal."""
    one, other = left.state(), right.state()
    return [
        name for name in one if one[name].shape != other[name].shape or one[name].tobytes() != other[name].tobytes()
    ]
