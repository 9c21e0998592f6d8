"""A server that starts badly says why, at once; only a taken port is worth another try."""

import sys
from pathlib import Path

import pytest

from tests.servers import process
from tests.servers.process import ServerProcess

FAILS = "import sys; print({word!r}); open('starts', 'a').write('x'); sys.exit(1)"


@pytest.mark.parametrize(("word", "starts"), [("no such setting", 1), ("bind: Address already in use", 3)])
def test_what_it_said_is_told(word: str, starts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PAUSE_SECONDS", 0.0)
    (tmp_path / "log").write_text("of an earlier start: address already in use\n")
    server = ServerProcess([sys.executable, "-c", FAILS.format(word=word)], tmp_path / "log", lambda: False)
    with pytest.raises(RuntimeError, match=f"does not answer:\n{word}"):
        server.start()
    assert len((tmp_path / "starts").read_text()) == starts
