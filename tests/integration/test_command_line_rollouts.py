"""`martlet versions` and `martlet rollout`, of a registry that judges evidence."""

import asyncio
import json
import os
import pty
import random
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest

from martlet.cli import main
from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow
from martlet.v1 import registry_pb2, registry_pb2_grpc
from martlet.versions import CatalogState
from registry_svc.policy import EvidencePolicy
from tests.integration.registry_stage import Stage, stage_in

PIN_LOGIT = -1.4


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage_in(tmp_path, quality="evidence") as stage:
        yield stage


async def published(stage: Stage, versions: int) -> None:
    """So many versions of one lineage: 1 is the pin, 2 the candidate, the newest one the head."""
    await stage.publish(stage.trainer.newest)
    for version in range(2, versions + 1):
        await stage.publish(stage.trainer.delta(float(version)))


def rows(labels: int, head: int, worse: float) -> tuple[EvidenceRow, ...]:
    """Answers of the pin, 1, whose head is so many nats off."""
    chance = random.Random(labels)
    return tuple(
        EvidenceRow(
            user=chance.randrange(40),
            time_us=number * 1_000_000,
            epoch=0,
            arm=Arm.PIN,
            weight=0,
            version=1,
            head=head,
            label=float(chance.random() < 0.2),
            logits={1: PIN_LOGIT, 2: PIN_LOGIT + 0.01, head: PIN_LOGIT + worse},
        )
        for number in range(labels)
    )


async def judged(stage: Stage, labels: int, head: int, worse: float = 0.0, sequence: int = 1) -> None:
    nothing = EvidenceRow(1, 1, 0, Arm.PIN, 0, 1, 0, 0.0, {})  # a young model's first labels are not judged
    await stage.client.report_evidence(EvidenceBatch("young", 1, "shop", (nothing,) * EvidencePolicy().burn_in_labels))
    batch = EvidenceBatch("trainer", sequence, "shop", rows(labels, head, worse), open_gap=7.5)
    await stage.client.report_evidence(batch)


async def alarmed(stage: Stage) -> None:
    """Three versions, of which the head turns out to be bad."""
    await published(stage, 3)
    await judged(stage, 400, head=3, worse=2.0)
    assert (await stage.client.lineage("shop")).rewind


async def command(stage: Stage, *arguments: str) -> int:
    """Runs a command in a thread."""
    return await asyncio.to_thread(main, [*arguments, f"--registry={stage.address}"])


async def answer(stage: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """A command's JSON."""
    assert await command(stage, *arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


async def told(stage: Stage, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """A command's text, with single spaces."""
    assert await command(stage, *arguments) == 0
    return " ".join(capsys.readouterr().out.split())


async def test_versions_have_their_place_and_their_share(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 4)
    await judged(stage, 600, head=4)
    found = await answer(stage, capsys, "versions", "shop")
    assert [row["version"] for row in found] == [1, 2, 3, 4]
    assert [row["state"] for row in found] == ["pinned", "admitted", "retired", "admitted"]
    assert [row["parent_version"] for row in found] == [0, 1, 2, 3]
    assert [(row["places"], row["weight"]) for row in found] == [
        (["pin"], 9500),
        (["candidate"], 0),
        ([], 0),
        (["head"], 500),
    ]
    assert "manifest" not in found[0]
    text = await told(stage, capsys, "versions", "shop")
    assert "head, 5 % of the answers" in text


async def test_the_newest_versions_alone(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 4)
    newest = await answer(stage, capsys, "versions", "shop", "--last", "2")
    assert [(row["version"], row["parent_version"]) for row in newest] == [(3, 2), (4, 3)]


async def test_what_was_taken_back_says_why(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await alarmed(stage)
    text = await told(stage, capsys, "versions", "shop")
    assert "QUARANTINED delta 0 1" in text
    assert "ROLLED_BACK delta 0 2" in text
    assert "worse than the pin: +" in text


async def test_a_model_of_which_nothing_was_taken_has_a_catalog(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.trainer.corrupt(stage.trainer.newest.dense)
    record = await stage.publish(stage.trainer.newest)
    assert record.state is CatalogState.REJECTED
    assert "REJECTED" in await told(stage, capsys, "versions", "shop")


@pytest.mark.parametrize("verb", [("versions",), ("rollout", "show"), ("rollout", "show", "--watch=0.1")])
async def test_an_unknown_model_is_one_line(
    stage: Stage, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    assert await command(stage, *verb, "shoes") == 1
    assert capsys.readouterr().err == "martlet: no model 'shoes'\n"


async def test_show_as_json_has_the_evidence_and_the_weights(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 4)
    await judged(stage, 600, head=4)
    shown = await answer(stage, capsys, "rollout", "show", "shop", "--decisions", "2")
    assert (shown["head_version"], shown["pin_version"], shown["candidate_version"]) == (4, 1, 2)
    assert {one["role"]: one["weight"] for one in shown["versions"]} == {"head": 500, "pin": 9500, "candidate": 0}
    assert shown["head_digest"] == shown["versions"][0]["digest"]
    assert [path["name"] for path in shown["paths"]] == ["head-pin", "head-candidate", "candidate-pin"]
    assert [one["kind"] for one in shown["decisions"]] == ["share", "head"]
    assert shown["open_gap"] == 7.5


async def test_show_tells_lanes_evidence_and_what_is_awaited(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 4)
    await judged(stage, 600, head=4)
    text = await told(stage, capsys, "rollout", "show", "shop")
    assert text.startswith("shop: head 4, pin 1, epoch 0, revision 5")
    assert "4 head 5 %" in text
    assert "head 4 vs pin 1 599 +0.0000" in text  # the first is as old as what another trainer told before
    assert "- candidate 2: its certificate" in text
    assert "share registry the live lane answers 500" in text


async def test_an_alarm_is_loud_until_training_has_gone_back(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await alarmed(stage)
    text = await told(stage, capsys, "rollout", "show", "shop")
    assert "REWINDING no version is taken until training is back at version 1" in text
    assert "ALARMS 1 since the pin moved last" in text
    assert "alarm registry versions 2 to 3 are taken back: worse than the pin" in text
    lineage = await stage.client.lineage("shop")
    await stage.client.acknowledge_rewind("shop", lineage.epoch, lineage.head_digest)
    text = await told(stage, capsys, "rollout", "show", "shop")
    assert "REWINDING" not in text
    assert "ALARMS 1" in text


async def test_promote_tells_what_stands_afterwards(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 3)
    text = await told(stage, capsys, "rollout", "promote", "shop", "2", "--why", "looks good", "--who", "ana")
    assert text.startswith("shop: head 3, pin 2, epoch 0")
    assert "pin ana version 2: looks good" in text


async def test_a_word_is_the_users_own_unless_it_says_whose(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "maria")
    await published(stage, 2)
    shown = await answer(stage, capsys, "rollout", "promote", "shop", "2", "--why", "looks good")
    assert shown["decisions"][0]["detail"] == "version 2: looks good (by maria)"


async def test_abort_closes_the_lane_and_asks_nothing_on_a_pipe(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    await published(stage, 3)
    shown = await answer(stage, capsys, "rollout", "abort", "shop", "--why", "prices are gone")
    assert (shown["head_version"], shown["rewind"], shown["alarms"]) == (1, True, 1)
    assert shown["decisions"][0]["kind"] == "aborted"


async def test_pin_goes_back_to_an_older_pin(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 2)
    await answer(stage, capsys, "rollout", "promote", "shop", "2", "--why", "looks good")
    text = await told(stage, capsys, "rollout", "pin", "shop", "1", "--why", "it did not", "--yes")
    assert text.startswith("shop: head 1, pin 1, epoch 1")
    assert "pinned" in text


async def test_thaw_lets_a_frozen_model_be_published_again(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await stage.publish(stage.trainer.newest)
    for value in range(2, 6):
        lineage = await stage.client.lineage("shop")
        await stage.publish(stage.trainer.snapshot(lineage.head_digest, lineage.epoch, float(value)))
        assert await command(stage, "rollout", "abort", "shop", "--why", "a drill") == 0
        lineage = await stage.client.lineage("shop")
        await stage.client.acknowledge_rewind("shop", lineage.epoch, lineage.head_digest)
    capsys.readouterr()
    assert "FROZEN nothing can be published" in await told(stage, capsys, "rollout", "show", "shop")
    assert "FROZEN" not in await told(stage, capsys, "rollout", "thaw", "shop", "--why", "the drill is over")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("promote", "shop", "9"), "version 9 is neither the candidate nor the structural version under way"),
        (("abort", "shop"), "the head is the pin and no structural version is under way: there is nothing to end"),
        (("pin", "shop", "1"), "version 1 is PINNED: only an older version in good standing can be it"),
        (("thaw", "shop"), "the model is not frozen"),
    ],
)
async def test_a_conflict_is_one_line(
    stage: Stage, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    await published(stage, 1)
    assert await command(stage, "rollout", *arguments, "--why", "a drill") == 1
    assert capsys.readouterr().err == f"martlet: {told}\n"


async def test_a_word_without_words_is_bad_input(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 2)
    assert await command(stage, "rollout", "promote", "shop", "2", "--why", " ") == 2
    assert capsys.readouterr().err.startswith("martlet: why must be said")


class Forgetful(registry_pb2_grpc.RolloutServiceServicer):
    """A registry that does what it is told, and goes away before it can say so."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self.code = code
        self.told = 0

    async def AbortRollout(self, request: object, context: Any) -> registry_pb2.AbortRolloutResponse:
        self.told += 1
        if self.code is not grpc.StatusCode.OK:
            await context.abort(self.code, "gone")
        return registry_pb2.AbortRolloutResponse()


@pytest.mark.parametrize(
    ("code", "exits", "told"),
    [
        (grpc.StatusCode.UNAVAILABLE, 1, "martlet: gone"),
        (grpc.StatusCode.OK, 0, "martlet: done; what stands now cannot be seen: "),
    ],
)
async def test_a_word_is_never_said_twice(
    capsys: pytest.CaptureFixture[str], code: grpc.StatusCode, exits: int, told: str
) -> None:
    server, forgetful = grpc.aio.server(), Forgetful(code)
    registry_pb2_grpc.add_RolloutServiceServicer_to_server(forgetful, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    arguments = ["rollout", "abort", "shop", "--why", "x", f"--registry=127.0.0.1:{port}"]
    assert await asyncio.to_thread(main, arguments) == exits
    await server.stop(0)
    assert forgetful.told == 1
    assert capsys.readouterr().err.startswith(told)


class Terminal:
    """A command in a process of its own, on a terminal of its own."""

    def __init__(self, stage: Stage, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "martlet.cli", *arguments, f"--registry={stage.address}"]
        self._mine, self._its = pty.openpty()
        self.text = ""

    async def __aenter__(self) -> Self:
        environment = os.environ | {"COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
        self.process = await asyncio.create_subprocess_exec(
            *self._command, stdin=self._its, stdout=self._its, stderr=self._its, env=environment, start_new_session=True
        )
        os.close(self._its)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        os.close(self._mine)

    async def reads(self, awaited: str) -> None:
        """Until it has written that."""
        async with asyncio.timeout(30):
            while awaited not in self.text:
                self.text += (await asyncio.to_thread(os.read, self._mine, 65536)).decode()

    async def ends(self) -> int:
        """Its exit code, once all that it wrote was read."""
        with suppress(OSError):  # the other side is closed
            while data := await asyncio.to_thread(os.read, self._mine, 65536):
                self.text += data.decode()
        return await asyncio.wait_for(self.process.wait(), 30)

    def types(self, text: str) -> None:
        os.write(self._mine, text.encode())


@pytest.mark.parametrize(("typed", "code", "head"), [("\n", 1, 3), ("y\n", 0, 1)])
async def test_on_a_terminal_abort_asks_first(stage: Stage, typed: str, code: int, head: int) -> None:
    await published(stage, 3)
    async with Terminal(stage, "rollout", "abort", "shop", "--why", "prices are gone") as terminal:
        await terminal.reads("[y/N] ")
        assert "versions 2 to 3 are taken back, version 1 answers everything" in terminal.text
        terminal.types(typed)
        assert await terminal.ends() == code
    assert ("nothing was changed" in terminal.text) is (code == 1)
    assert (await stage.client.lineage("shop")).head_version == head


async def test_what_was_agreed_to_must_still_be_there(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 3)
    await answer(stage, capsys, "rollout", "promote", "shop", "2", "--why", "looks good")
    async with Terminal(stage, "rollout", "pin", "shop", "1", "--why", "prices are gone") as terminal:
        await terminal.reads("[y/N] ")
        assert "all versions above 1 are taken back, the pin 2 and the head 3 among them" in terminal.text
        await answer(stage, capsys, "rollout", "abort", "shop", "--why", "someone was faster")
        terminal.types("y\n")
        assert await terminal.ends() == 1
    assert "something else was decided meanwhile; nothing was changed" in terminal.text
    assert (await stage.client.lineage("shop")).pin_version == 2


async def test_nothing_is_asked_about_what_cannot_be(stage: Stage) -> None:
    await published(stage, 1)
    for arguments in (("abort", "shop"), ("pin", "shop", "1")):
        async with Terminal(stage, "rollout", *arguments, "--why", "a drill") as terminal:
            assert await terminal.ends() == 1
        assert "[y/N]" not in terminal.text


@pytest.fixture
def _ctrl_c_is_heard() -> Iterator[None]:
    """Also where the test run itself was started with the signal ignored, which its processes would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
async def test_watch_redraws_until_ctrl_c(stage: Stage) -> None:
    await published(stage, 3)
    async with Terminal(stage, "rollout", "show", "shop", "--watch", "0.1") as terminal:
        await terminal.reads("head 3, pin 1")
        await stage.publish(stage.trainer.delta(4.0))
        await terminal.reads("head 4, pin 1")
        terminal.process.send_signal(signal.SIGINT)
        assert await terminal.ends() == 0
    assert "Traceback" not in terminal.text
    assert "head 4, pin 1" in terminal.text.rpartition("\x1b[?1049l")[2]


@pytest.mark.usefixtures("_ctrl_c_is_heard")
async def test_watch_as_json_is_a_document_a_line(stage: Stage) -> None:
    await published(stage, 2)
    arguments = ["-m", "martlet.cli", "rollout", "show", "shop", "--watch", "0.1", "--json"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, f"--registry={stage.address}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    heads = [json.loads(await process.stdout.readline())["head_version"] for _ in range(2)]
    process.send_signal(signal.SIGINT)
    await process.communicate()
    assert (heads, process.returncode) == ([2, 2], 0)


async def test_a_reader_that_has_enough_ends_the_watch_quietly(stage: Stage) -> None:
    await published(stage, 2)
    watch = f"{sys.executable} -m martlet.cli rollout show shop --watch 0.1 --json --registry={stage.address} | head -1"
    process = await asyncio.create_subprocess_shell(
        watch, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert json.loads(out)["head_version"] == 2
    assert errors == b""


async def test_any_number_of_decisions_may_be_asked_for(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await published(stage, 2)
    assert "version 2 after 1" in await told(stage, capsys, "rollout", "show", "shop", "--decisions", "4294967295")
    assert "version 2" not in await told(stage, capsys, "rollout", "show", "shop", "--decisions", "0")


def test_readmit_needs_a_trainer_and_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollout", "readmit", "shop", "1", "--why", "a drill", "--trainer=127.0.0.1:1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["rollout", "readmit", "shop", "1"])
    assert "--why" in capsys.readouterr().err
