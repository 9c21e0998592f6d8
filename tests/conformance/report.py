"""Results as a table for people and as JSON for programs. Pure."""

from collections.abc import Sequence
from typing import Any

from tests.conformance.runner import Result, Verdict


def score_of(results: Sequence[Result]) -> float:
    """The share of the cases that apply which passed; 0 if none applies."""
    applied = [result for result in results if result.verdict is not Verdict.NOT_APPLICABLE]
    return sum(result.verdict is Verdict.PASSED for result in applied) / len(applied) if applied else 0.0


def counts_of(results: Sequence[Result]) -> dict[Verdict, int]:
    """How many cases ended how."""
    return {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}


def as_json(target: str, models: Sequence[str], results: Sequence[Result]) -> dict[str, Any]:
    """Everything."""
    counts = counts_of(results)
    return {
        "target": target,
        "models": list(models),
        "score": score_of(results),
        "cases": len(results),
        "passed": counts[Verdict.PASSED],
        "failed": counts[Verdict.FAILED],
        "not_applicable": counts[Verdict.NOT_APPLICABLE],
        "results": [
            {
                "id": result.case.id,
                "law": result.case.law,
                "source": result.case.source,
                "verdict": result.verdict.value,
                "why": result.why,
            }
            for result in results
        ],
    }


def as_table(results: Sequence[Result]) -> str:
    """Topic by topic how many passed, then each failure with its law and what came, then the score."""
    lines = [f"{'topic':<12} {'passed':>7} {'failed':>7} {'n/a':>5}"]
    for topic in dict.fromkeys(result.case.id.split("/")[0] for result in results):
        counts = counts_of([result for result in results if result.case.id.split("/")[0] == topic])
        passed, failed, apart = counts[Verdict.PASSED], counts[Verdict.FAILED], counts[Verdict.NOT_APPLICABLE]
        lines.append(f"{topic:<12} {passed:>7} {failed:>7} {apart:>5}")
    for result in results:
        if result.verdict is Verdict.FAILED:
            lines += [
                "",
                f"FAILED {result.case.id}: {result.case.law}",
                f"  source: {result.case.source}",
                f"  came: {result.why}",
            ]
    counts = counts_of(results)
    applied = counts[Verdict.PASSED] + counts[Verdict.FAILED]
    apart = counts[Verdict.NOT_APPLICABLE]
    lines += [
        "",
        f"score {100 * score_of(results):.1f} %: {counts[Verdict.PASSED]} of {applied} cases; {apart} do not apply",
    ]
    return "\n".join(lines)
