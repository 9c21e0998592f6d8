"""Log lines for a terminal and for a collector."""

import json
import logging

import pytest

from martlet.errors import InvalidInput
from martlet.runtime.config import LogConfig
from martlet.runtime.logs import set_up_logs


def test_json_lines_hold_the_whole_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig("info", "json"))
    logging.getLogger("shop").error("it %s", "broke", exc_info=ZeroDivisionError("a\nb"))
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "shop", "it broke")
    assert "ZeroDivisionError: a\nb" in entry["error"]


def test_text_lines_say_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig("warning", "text"))
    logging.getLogger("shop").info("quiet")
    logging.getLogger("shop").warning("loud")
    error = capsys.readouterr().err
    assert "shop: loud" in error
    assert "quiet" not in error


@pytest.mark.parametrize(("config", "named"), [(LogConfig("loud"), "loud"), (LogConfig(format="xml"), "xml")])
def test_a_bad_setting_is_one_line_that_names_it(config: LogConfig, named: str) -> None:
    with pytest.raises(InvalidInput, match=rf"bad setting: log\.\w+ '{named}'"):
        set_up_logs(config)
