"""The commands that the pages for operators print are commands."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from martlet.cli import BECOMES, _parser
from registry_svc.__main__ import _parser as registry_parser
from trainer_svc.__main__ import _parser as trainer_parser

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = {"trainer_svc": trainer_parser, "registry_svc": registry_parser}


def commands() -> list[str]:
    found: list[str] = []
    for page in ("operations.md", "upgrades.md"):
        text = (DOCS / page).read_text().replace("\\\n", " ")
        blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
        lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
        inline = [span for span in re.findall(r"`(martlet \S+ [^`\n]+)`", text) if "..." not in span]
        found += [line.split(" > ")[0] for line in [*lines, *inline] if re.match(r"martlet [a-z]+( |$)", line)]
    return sorted(set(found))


@pytest.mark.parametrize("command", commands())
def test_it_is_a_command(command: str) -> None:
    words = shlex.split(command.replace("--to REVISION", "--to 0001"), comments=True)[1:]
    if words[0] not in BECOMES:
        parses(_parser(), words)
    elif BECOMES[words[0]][0] in PROGRAMS:
        parses(PROGRAMS[BECOMES[words[0]][0]](), [*BECOMES[words[0]][1:], *words[1:]])


def parses(parser: argparse.ArgumentParser, words: list[str]) -> None:
    try:
        parser.parse_args(words)
    except SystemExit as refused:
        pytest.fail(f"exit {refused.code}")
