"""Which buckets nobody looks at any more. Pure, apart from what it remembers.

Live views form a tree in which each link knows where its two ends may differ: a new view hangs on its parent by the
buckets that it changed. When a view goes, only the buckets where it differs from its nearest relative can be free, and
only those are compared with the directories of the other views. So what a release costs follows what changed, not how
large the table is; links that have gathered more than a directory's worth of numbers are measured anew.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Directory = npt.NDArray[np.int32]


class Link:
    """Two views and the logical buckets in which they may differ, in pieces that may overlap."""

    def __init__(self, one: int, other: int, pieces: list[Directory]) -> None:
        self.one = one
        self.other = other
        self.pieces = pieces

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return sum(piece.shape[0] for piece in self.pieces)

    def other_than(self, name: int) -> int:
        """The end that is not this one."""
        return self.other if name == self.one else self.one


class LiveViews:
    """The directories (int32[n], logical to physical bucket) of the live views by name. Not thread-safe."""

    def __init__(self) -> None:
        self._directories: dict[int, Directory] = {}
        self._links: list[Link] = []

    def add_root(self, name: int, directory: Directory) -> None:
        """The first view."""
        self._directories[name] = directory

    def add_child(self, name: int, directory: Directory, parent: int, changed: Directory) -> None:
        """A view that has its parent's buckets but for the changed logical ones."""
        self._directories[name] = directory
        self._links.append(Link(parent, name, [changed]))

    def remove(self, name: int) -> Directory:
        """Forgets a view; gives the physical buckets that it alone named. The last view gives all of its own."""
        directory = self._directories.pop(name)
        own = [link for link in self._links if name in (link.one, link.other)]
        if not own:
            return directory
        nearest = min(own, key=lambda link: link.size)
        positions = np.unique(np.concatenate(nearest.pieces))
        for other in self._directories.values():
            positions = positions[directory[positions] != other[positions]]
        self._bypass(name, nearest, own)
        return directory[positions]

    def _bypass(self, gone: int, nearest: Link, own: list[Link]) -> None:
        """Hangs the other neighbours of a view that goes on its nearest relative."""
        heir = nearest.other_than(gone)
        self._links = [link for link in self._links if link not in own]
        for link in own:
            if link is not nearest:
                self._links.append(self._measured(Link(heir, link.other_than(gone), nearest.pieces + link.pieces)))

    def _measured(self, link: Link) -> Link:
        one, other = self._directories[link.one], self._directories[link.other]
        if link.size <= one.shape[0]:
            return link
        return Link(link.one, link.other, [np.flatnonzero(one != other).astype(np.int32)])

    def __iter__(self) -> Iterator[int]:
        """The names of the live views."""
        return iter(self._directories)
