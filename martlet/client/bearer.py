"""The token that a client shows: fixed, or in a file that may be replaced while the client lives."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, cast, overload

from martlet.watched_files import WatchedFiles

Entry: TypeAlias = tuple[str, str | bytes]


class TokenFile:
    """A token in a file of its own; blanks around it do not count.

    Raises:
        InvalidInput: the file cannot be read.
    """

    def __init__(self, path: Path, reload_seconds: float = 5.0) -> None:
        self._files = WatchedFiles([path], reload_seconds)

    def token(self) -> str:
        """The token that holds now."""
        self._files.look()
        return self._files.contents[0].decode("ascii", "replace").strip()


Token: TypeAlias = str | TokenFile


def bearer(token: Token) -> tuple[Entry, ...]:
    """The metadata that says who calls."""
    if isinstance(token, TokenFile):
        return cast("tuple[Entry, ...]", _Fresh(token))  # gRPC takes any sequence; its types say less
    return (("authorization", f"Bearer {token}"),) if token else ()


class _Fresh(Sequence[Entry]):
    """The metadata with the token that holds when it is read."""

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Entry]:
        yield ("authorization", f"Bearer {self._file.token()}")

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        return tuple(self)[index]
