"""The kit itself: a server that keeps every law passes, and each fault is found by the case that is about it."""

import json
import struct
from dataclasses import replace

import pytest

from tests.conformance.answer import Answer, FlagReply, InferReply
from tests.conformance.case import About
from tests.conformance.cases import ALL
from tests.conformance.datatypes import ALL as DATATYPES
from tests.conformance.datatypes import BY_NAME, Datatype
from tests.conformance.draft import Draft, DraftInput, Target
from tests.conformance.faithful import MODELS, FaithfulServer, RefusedError, echo_model
from tests.conformance.model import Model
from tests.conformance.report import as_json, as_table, score_of
from tests.conformance.runner import Result, Runner, Verdict, given_tensors


def run(server: FaithfulServer, models: tuple[Model, ...] = MODELS, **options: object) -> dict[str, Result]:
    runner = Runner(server, models, **options)
    return {case.id: runner.run(case) for case in ALL}


def failed(results: dict[str, Result]) -> set[str]:
    return {name for name, result in results.items() if result.verdict is Verdict.FAILED}


def test_there_are_enough_cases_each_with_a_law_and_a_source() -> None:
    assert len(ALL) >= 150
    assert len({case.id for case in ALL}) == len(ALL)
    assert all(case.law and case.source and case.expect for case in ALL)


@pytest.mark.parametrize("small", [False, True], ids=["zeros", "small"])
def test_a_faithful_server_passes_every_case(small: bool) -> None:  # noqa: FBT001
    results = run(FaithfulServer(), small=small)
    assert {name: result.why for name, result in results.items() if result.verdict is not Verdict.PASSED} == {}


class ForgetsIds(FaithfulServer):
    def id(self, draft: Draft) -> str:
        return draft.id[:20]


class InventsIds(FaithfulServer):
    def id(self, draft: Draft) -> str:
        return draft.id or "made-up"


class IgnoresVersions(FaithfulServer):
    def model(self, name: str, version: str) -> Model:
        return super().model(name, "")


class IgnoresOutputs(FaithfulServer):
    def wanted(self, draft: Draft, all_outputs: object) -> object:
        return all_outputs


class TakesBothForms(FaithfulServer):
    def mixed(self) -> None:
        pass


class InvitesRetries(FaithfulServer):
    def status(self) -> str:
        return "UNAVAILABLE"


class WrapsSizes(FaithfulServer):
    def count(self, tensor: DraftInput) -> int:
        return super().count(tensor) % 2**64


class ReadsAnyField(FaithfulServer):
    def elements(self, tensor: DraftInput, raw: bytes | None) -> object:
        if raw is None and tensor.contents:
            (values,) = tensor.contents.values()
            return values
        return super().elements(tensor, raw)


class TakesAnySize(FaithfulServer):
    def elements(self, tensor: DraftInput, raw: bytes | None) -> object:
        if tensor.datatype not in BY_NAME:
            raise RefusedError("no such datatype")
        datatype, count = BY_NAME[tensor.datatype], super().count(tensor)
        if raw is not None and datatype.size and count < 1000:
            return datatype.values(raw[: datatype.size * count].ljust(datatype.size * count, b"\0"))
        return super().elements(tensor, raw)


class LosesPrecision(FaithfulServer):
    def elements(self, tensor: DraftInput, raw: bytes | None) -> object:
        values = super().elements(tensor, raw)
        return [round(value, 3) for value in values] if tensor.datatype == "FP64" else values


class AnswersInPart(FaithfulServer):
    def reply(self, draft: Draft, model: Model) -> InferReply:
        reply = super().reply(draft, model)
        return replace(reply, raw=reply.raw[:-1])


class NothingIsReady(FaithfulServer):
    def about(self, call: About) -> Answer:
        return Answer("OK", "", FlagReply(False)) if call.rpc == "ModelReady" else super().about(call)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (ForgetsIds, {"infer/id-uuid", "infer/id-long"}),
        (InventsIds, {"infer/id-none"}),
        (IgnoresVersions, {"versions/unknown", "health/unknown-version", "metadata/unknown-version"}),
        (IgnoresOutputs, {"infer/outputs-first", "infer/outputs-unknown"}),
        (TakesBothForms, {"contents/mixed-first", "contents/mixed-last", "contents/mixed-all"}),
        (InvitesRetries, {"models/unknown", "shapes/negative", "int8/raw-byte-short"}),
        (WrapsSizes, {"shapes/empty-wraps-64-bits"}),
        (ReadsAnyField, {f"{name.lower()}/typed-wrong-field" for name in ("BOOL", "INT8", "FP32", "BYTES")}),
        (TakesAnySize, {"int8/raw-byte-long", "int32/raw-element-short", "fp32/raw-empty", "bf16/raw-element-long"}),
        (LosesPrecision, {"fp64/raw-edges", "fp64/typed-edges"}),
        (AnswersInPart, {"infer/raw-one-form", "infer/raw-sizes", "infer/raw-raw-answer"}),
        (NothingIsReady, {"health/model", "health/version"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_fault_is_found_by_the_cases_about_it(fault: type[FaithfulServer], found: set[str]) -> None:
    results = run(fault())
    assert found <= failed(results)
    assert results["health/live"].verdict is Verdict.PASSED
    assert all(result.why for result in results.values() if result.verdict is Verdict.FAILED)


def test_a_case_that_does_not_apply_is_not_passed() -> None:
    results = run(FaithfulServer(), (echo_model("echo", ["INT32"]),))
    assert results["fp32/raw"].verdict is Verdict.NOT_APPLICABLE
    assert results["infer/outputs-reversed"].verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("datatype", DATATYPES, ids=lambda datatype: datatype.name)
def test_values_and_raw_bytes_are_the_same(datatype: Datatype) -> None:
    raw = datatype.raw(datatype.edges)
    assert repr(datatype.values(raw)) == repr(datatype.edges)
    assert datatype.name == "BYTES" or len(raw) == datatype.size * len(datatype.edges)


@pytest.mark.parametrize(
    ("name", "raw"), [("INT32", b"\0\0\0"), ("BF16", b"\0"), ("BYTES", b"\2\0\0\0a"), ("BYTES", b"\0\0")]
)
def test_bytes_that_are_no_elements_are_told(name: str, raw: bytes) -> None:
    with pytest.raises(ValueError, match="bytes"):
        BY_NAME[name].values(raw)


def test_inputs_come_from_a_file() -> None:
    model = given_tensors(echo_model("echo", ["INT32", "BYTES"]), {"int32": {"shape": [3], "data": [7, 8, 9]}})
    assert [tensor.shape for tensor in model.inputs] == [(3,), (-1,)]
    draft = Runner(FaithfulServer(), (model,))._draft(ALL[-1].call, Target(model, 0))
    assert (draft.inputs[0].shape, draft.raw) == ((3,), (struct.pack("<3i", 7, 8, 9), bytes(8)))
    with pytest.raises(ValueError, match="'nothing'"):
        given_tensors(model, {"nothing": {"shape": [1], "data": [1]}})
    with pytest.raises(ValueError, match="2 values for the shape"):
        given_tensors(model, {"int32": {"shape": [3], "data": [1, 2]}})


def test_the_report_counts_what_applies() -> None:
    results = [
        Result(ALL[0], Verdict.PASSED),
        Result(ALL[1], Verdict.FAILED, "it says false"),
        Result(ALL[2], Verdict.NOT_APPLICABLE),
    ]
    assert score_of(results) == 0.5
    assert score_of(results[2:]) == 0.0
    report = json.loads(json.dumps(as_json("host:1", ["m"], results)))
    assert (report["passed"], report["failed"], report["not_applicable"]) == (1, 1, 1)
    table = as_table(results)
    assert "score 50.0 %: 1 of 2 cases; 1 do not apply" in table
    assert f"FAILED {ALL[1].id}" in table
    assert "it says false" in table
