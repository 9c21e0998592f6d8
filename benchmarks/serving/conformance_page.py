"""The conformance reports as a page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

HEAD: Final = """# Conformance to the Open Inference Protocol

`python -m tests.conformance` holds {cases} cases, each one law with its source: {spec} rest on the protocol's
specification or proto, {clients} on what its clients rely on. It knows no server: it reads a model's metadata and makes
its requests from it. Here it asks echo models of every datatype, written for each server as its users would write them;
the peers' models leave out BF16, which those servers do not know. A case that does not apply to a server's models is
not counted as passed. Which status a refusal has is free, but for those that say "try again" or "no answer".

`python -m benchmarks.serving.conformance` writes this page.

| server | score | passed | failed | not applicable |
|---|---|---|---|---|
"""


LONGEST: Final = 160


def render(reports: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Writes the page."""
    sources = [result["source"] for result in next(iter(reports.values()))["results"]]
    clients = sum(source.startswith("clients") for source in sources)
    lines = [HEAD.format(cases=len(sources), spec=len(sources) - clients, clients=clients).rstrip("\n")]
    lines += [
        f"| {_title(name)} | {100 * report['score']:.1f} % | {report['passed']} | {report['failed']} "
        f"| {report['not_applicable']} |"
        for name, report in reports.items()
    ]
    for name, report in reports.items():
        failed = [result for result in report["results"] if result["verdict"] == "failed"]
        if failed:
            lines += ["", f"## What {_title(name)} fails", "", "| case | law | what came |", "|---|---|---|"]
            lines += [f"| `{result['id']}` | {_cell(result['law'])} | {_cell(result['why'])} |" for result in failed]
    path.write_text("\n".join(lines) + "\n")


def _title(requirement: str) -> str:
    name, _, version = requirement.partition("==")
    return {"martlet": "Martlet", "mlserver": "MLServer", "kserve": "KServe SDK"}[name] + (
        f" {version}" if version else ""
    )


def _cell(text: str) -> str:
    """One line without what would end the cell or show this machine's folders."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"
