"""What a verb becomes, and what bad input is told."""

import sys
from pathlib import Path

import pytest

from martlet.cli import BECOMES, main, program
from martlet.command_options import dialled
from martlet.up import child_environment


@pytest.mark.parametrize("verb", BECOMES)
def test_a_verb_becomes_its_program_with_the_remaining_arguments(verb: str) -> None:
    command, _ = program(verb, ["--data-dir", "d"])
    assert command == [sys.executable, "-m", *BECOMES[verb], "--data-dir", "d"]


def test_train_takes_the_model_first() -> None:
    command, environment = program("train", ["shop:MODEL", "--data-dir", "d"])
    assert command[2:] == ["trainer_svc", "--data-dir", "d"]
    assert environment["MARTLET_TRAINER_MODEL"] == "shop:MODEL"


def test_a_service_with_json_logs_json_and_a_result_stays_json() -> None:
    command, environment = program("serve", ["--json"])
    assert command[2:] == ["serving_svc"]
    assert environment["MARTLET_LOG_FORMAT"] == "json"
    assert program("check", ["shop:MODEL", "--json"])[0][-1] == "--json"


def test_the_environment_is_inherited_and_nothing_is_added_unasked() -> None:
    assert child_environment("", json_logs=False, base={"A": "b"}) == {"A": "b"}


@pytest.mark.parametrize(("host", "told"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("box", "box")])
def test_every_interface_is_dialled_on_this_machine(host: str, told: str) -> None:
    assert dialled(host, 8500) == f"{told}:8500"


def test_up_without_a_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up"]) == 2
    assert capsys.readouterr().err == (
        "martlet: bad setting: trainer.model is empty; name a model, as in: martlet up shop:MODEL\n"
    )


def test_a_bad_setting_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "martlet.yaml"
    path.write_text("serving: {prot: 1}")
    assert main(["status", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("martlet: bad setting: serving.prot is no setting")
    assert error.count("\n") == 1


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for verb in (*BECOMES, "up", "versions", "rollout", "status"):
        assert f"    {verb} " in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["versions", "shop", "--last", "-1"], "'-1' is no whole number"),
        (["versions", "shop", "--last", str(1 << 32)], "is no whole number from 0 to 4294967295"),
        (["rollout", "show", "shop", "--decisions", "²"], "'²' is no whole number"),
        (["rollout", "pin", "shop", "v1", "--why", "x"], "'v1' is no whole number"),
        (["rollout", "show", "shop", "--watch", "0"], "'0' is no number of seconds from 0.1 to 3600.0"),
        (["rollout", "show", "shop", "--watch", "nan"], "'nan' is no number of seconds"),
        (["rollout", "show", "--watch", "shop"], "the model comes first, as in: martlet rollout show shop --watch"),
        (["rollout", "abort", "shop"], "--why"),
    ],
)
def test_bad_arguments_say_what_is_expected(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_who_has_no_name_here_has_to_give_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert main(["rollout", "thaw", "shop", "--why", "x"]) == 2
    assert capsys.readouterr().err == "martlet: who are you? The user has no name here; give one with --who\n"
