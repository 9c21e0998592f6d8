"""Runs cases against a server: finds the model that a case applies to, makes the request, judges the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod
from typing import Final, Protocol

from tests.conformance.answer import Answer
from tests.conformance.case import KNOWN, LISTED, About, Call, Case, Infer, Needs, Seen, Server
from tests.conformance.datatypes import BY_NAME, Value
from tests.conformance.draft import Draft, Target, raw_draft, typed_draft
from tests.conformance.model import Model, Tensor


class Verdict(StrEnum):
    """How a case ended. What does not apply to any model says nothing, and is never counted as passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Result:
    """A case's verdict; `why` says what came instead."""

    case: Case
    verdict: Verdict
    why: str = ""


class Caller(Protocol):
    """The part of `Channel` that cases need."""

    def server(self, call: Server) -> Answer:
        """About the server."""
        ...

    def about(self, call: About) -> Answer:
        """About a model."""
        ...

    def infer(self, draft: Draft) -> Answer:
        """Inference."""
        ...


@dataclass(frozen=True, slots=True)
class Runner:
    """Cases against one server.

    Attributes:
        models: of which a case gets the first that has what it needs.
        version: named in every request that does not name one itself; "": the server chooses.
        small: inputs hold small values, not zeros.
    """

    caller: Caller
    models: Sequence[Model]
    version: str = ""
    small: bool = False

    def run(self, case: Case) -> Result:
        """One case."""
        target = self._target(case)
        if target is None:
            return Result(case, Verdict.NOT_APPLICABLE)
        answer, draft = self._ask(case.call, target)
        if answer.status not in case.expect:
            return Result(case, Verdict.FAILED, _unexpected(answer, case))
        other = self._ask(case.other, target)[0] if case.other else None
        why = _fault(case, Seen(answer, target, draft, other)) if answer.status == "OK" else ""
        return Result(case, Verdict.FAILED if why else Verdict.PASSED, why)

    def _target(self, case: Case) -> Target | None:
        """The first model that will do, and the input meant."""
        for model in self.models:
            place = model.place_of(case.needs.datatype)
            if isinstance(case.call, Infer) and not (model.can_be_sent and place is not None):
                continue
            if _has(model, place or 0, case.needs):
                return Target(model, place or 0)
        return None

    def _ask(self, call: Call, target: Target) -> tuple[Answer, Draft | None]:
        if isinstance(call, Server):
            return self.caller.server(call), None
        if isinstance(call, About):
            return self.caller.about(self._filled(call, target.model)), None
        draft = self._draft(call, target)
        return self.caller.infer(draft), draft

    def _filled(self, call: About, model: Model) -> About:
        name = model.name if call.name == KNOWN else call.name
        version = model.versions[-1] if call.version == LISTED else call.version
        return replace(call, name=name, version=version or (self.version if call.name == KNOWN else ""))

    def _draft(self, call: Infer, target: Target) -> Draft:
        make = raw_draft if call.form == "raw" else typed_draft
        meant = target.model.inputs[target.place].name if call.edges else ""
        draft = make(
            target.model, lambda tensor: self._values(tensor, target.model, edges=tensor.name == meant), call.rows
        )
        draft = replace(draft, version=self.version)
        for edit in call.edits:
            draft = edit(draft, target)
        return draft

    def _values(self, tensor: Tensor, model: Model, *, edges: bool) -> Sequence[Value]:
        datatype = BY_NAME[tensor.datatype]
        if edges:
            return _repeated(datatype.edges, tensor.count)
        if tensor.name in model.given:
            return model.given[tensor.name]
        return [datatype.one if self.small and i % 2 else datatype.zero for i in range(tensor.count)]


_MOST: Final = 200


def _has(model: Model, place: int, needs: Needs) -> bool:
    """Whether a model has what a case needs."""
    return (
        len(model.inputs) >= needs.inputs
        and len(model.outputs) >= needs.outputs
        and (model.can_be_typed or not needs.typed)
        and (model.echoes or not needs.echoes)
        and (bool(model.versions) or not needs.versions)
        and (not needs.free_rows or (bool(model.inputs) and model.inputs[place].has_free_rows))
    )


def _fault(case: Case, seen: Seen) -> str:
    """What the checks find; an answer that a check cannot read is a fault, too."""
    for check in case.checks:
        try:
            why = check(seen)
        except (ValueError, KeyError, TypeError) as error:
            why = f"the answer cannot be read: {error}"
        if why:
            return why[:_MOST]
    return ""


def _unexpected(answer: Answer, case: Case) -> str:
    came = answer.status if not answer.details else f"{answer.status}: {answer.details[:_MOST]}"
    if "OK" in case.expect:
        return came
    shown = "" if answer.reply is None else "was answered"
    return f"{came or 'OK'} {shown}".strip()


def _repeated(values: Sequence[Value], count: int) -> list[Value]:
    return [values[i % len(values)] for i in range(count)]


def given_tensors(model: Model, tensors: dict[str, dict[str, list[object]]]) -> Model:
    """The model with values and shapes of its inputs from a file: {"name": {"shape": [...], "data": [...]}}.

    Raises:
        ValueError: an input that there is not, or a wrong number of values.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    given: dict[str, list[Value]] = {}
    known = {tensor.name: tensor for tensor in model.inputs}
    for name, tensor in tensors.items():
        if name not in known:
            raise ValueError(f"model {model.name!r} has no input {name!r}")
        shape = tuple(int(str(size)) for size in tensor["shape"])
        data: list[Value] = [value.encode() if isinstance(value, str) else value for value in tensor["data"]]  # type: ignore[misc]
        if len(data) != prod(shape):
            raise ValueError(f"input {name!r} has {len(data)} values for the shape {list(shape)}")
        shapes[name], given[name] = shape, data
    inputs = tuple(replace(tensor, shape=shapes.get(tensor.name, tensor.shape)) for tensor in model.inputs)
    return replace(model, inputs=inputs, given=given)
