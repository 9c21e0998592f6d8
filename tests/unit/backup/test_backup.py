"""A backup is whole or none, is never written over, says what is damaged, and comes back as it was."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from martlet.artifacts import FolderStore
from martlet.backup.catalog_cut import SqliteCut
from martlet.backup.partitions import payloads_behind
from martlet.backup.record import BEGUN, RECORD, read_record
from martlet.backup.restoring import ASIDE, restore, restore_artifacts
from martlet.backup.taking import Parts, take_backup
from martlet.clock import SystemClock
from martlet.errors import Conflict, Corrupt, NotFound, Unavailable
from martlet.eventlog.erasure import FileEventEraser, erased
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.manifest import encode_manifest
from martlet.versions import CatalogState
from registry_svc.catalog_database import open_database
from tests.unit.core.samples import MANIFEST

BLOB = b"rows" * 100


def nothing(what: str, size: int) -> None:
    """Nobody watches."""


class Home:
    """A data directory with something of everything, and what backs it up."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = FolderStore(root / "artifacts")
        self.blob = self.store.put(BLOB)
        (root / "trainer" / "checkpoints").mkdir(parents=True)
        (root / "trainer" / "checkpoints" / "1-2.base").write_bytes(b"state")
        (root / "trainer" / "checkpoints" / "3-4.base.part").write_bytes(b"half")
        (root / "trainer" / "judge-name").write_text("judge/shop-1")
        for log, partition in (("events", "serving-0"), ("trainer", "journal"), ("dead-letters", "trainer")):
            self.append(log, partition, b"first", b"second")
        engine = open_database(f"sqlite:///{root / 'catalog.db'}")
        engine.dispose()

    def append(self, log: str, partition: str, *payloads: bytes) -> None:
        writer = FileEventWriter(self.root / log, partition)
        for payload in payloads:
            writer.append(payload).result()
        writer.close()

    def enter(self, version: int, state: CatalogState = CatalogState.ADMITTED) -> None:
        """A version of the catalog, whose blobs are not in the store."""
        row = ("shop", version, f"d{version}", "", 0, int(state), "", "delta", 0, encode_manifest(MANIFEST))
        with sqlite3.connect(self.root / "catalog.db") as connection:
            connection.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def parts(self) -> Parts:
        root = self.root
        return Parts(root, root / "trainer", root / "dead-letters", root / "events", root / "artifacts", {})

    def backup(self, folder: Path, during: Callable[[str], None] = lambda what: None) -> None:
        take_backup(
            self.parts(),
            lambda: SqliteCut(self.root / "catalog.db"),
            folder,
            SystemClock(),
            lambda what, size: during(what),
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data")


def contents(root: Path) -> dict[str, bytes]:
    """What counts: no locks, nothing half done, nothing of the backup's own."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in files
        if path.name not in ("lock", RECORD, "catalog.db") and path.suffix != ".part" and "catalog.db-" not in path.name
    }


def test_what_is_restored_is_what_was_there(home: Home, tmp_path: Path) -> None:
    home.backup(tmp_path / "b")
    restore(tmp_path / "b", tmp_path / "again", nothing)
    assert contents(tmp_path / "again") == contents(home.root)
    assert not (tmp_path / "again" / ASIDE).exists()
    again = Home.__new__(Home)
    again.root = tmp_path / "again"
    again.append("events", "serving-0", b"third")
    reader = FileEventReader(tmp_path / "again" / "events")
    assert [record.payload for record in reader.read("serving-0", 0, 1000)] == [b"first", b"second", b"third"]


def test_what_comes_after_the_moment_is_not_in_it(home: Home, tmp_path: Path) -> None:
    """Checkpoints are copied first; whatever is appended from then on lies behind the marks."""

    def during(what: str) -> None:
        if what == "checkpoints":
            home.append("events", "serving-0", b"late")
            home.enter(7, CatalogState.REJECTED)

    home.backup(tmp_path / "b", during)
    assert [r.payload for r in FileEventReader(tmp_path / "b" / "events").read("serving-0", 0, 99)] == [
        b"first",
        b"second",
    ]
    with sqlite3.connect(tmp_path / "b" / "catalog.db") as copy:
        assert copy.execute("SELECT count(*) FROM versions").fetchone() == (0,)
    assert list(
        payloads_behind(home.root / "events/serving-0", read_record(tmp_path / "b").marks["events/serving-0"])
    ) == [b"late"]


def test_nobody_writes_to_the_catalog_at_the_moment(home: Home) -> None:
    seen: list[str] = []

    def write() -> None:
        with sqlite3.connect(home.root / "catalog.db", timeout=10) as connection:
            connection.execute("INSERT INTO measurement_producers VALUES ('p', 1)")
        seen.append("written")

    def work() -> None:
        thread.start()
        thread.join(0.3)
        seen.append("marked")

    thread = threading.Thread(target=write)
    with SqliteCut(home.root / "catalog.db") as cut:
        cut.freeze(work)
    thread.join()
    assert seen == ["marked", "written"]


def test_a_catalog_that_somebody_holds_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("martlet.backup.catalog_cut.WAIT_SECONDS", 0.1)
    other = sqlite3.connect(home.root / "catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with SqliteCut(home.root / "catalog.db") as cut, pytest.raises(Unavailable, match="cannot be held still"):
        cut.freeze(lambda: None)
    other.close()


def test_nothing_is_overwritten(home: Home, tmp_path: Path) -> None:
    home.backup(tmp_path / "b")
    with pytest.raises(Conflict, match="holds a backup already"):
        home.backup(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.txt").write_text("years of work")
    with pytest.raises(Conflict, match="not empty"):
        home.backup(tmp_path / "c")
    with pytest.raises(Conflict, match=r"thesis\.txt"):
        restore(tmp_path / "b", tmp_path / "c", nothing)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["thesis.txt"]


def test_a_backup_that_broke_off_is_none_and_goes_on(home: Home, tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def break_off(what: str) -> None:
        if what == "artifacts":
            raise Broken

    with pytest.raises(Broken):
        home.backup(tmp_path / "b", break_off)
    with pytest.raises(NotFound, match="never finished"):
        restore(tmp_path / "b", tmp_path / "again", nothing)
    (home.root / "trainer/checkpoints/1-2.base").rename(home.root / "trainer/checkpoints/5-6.base")
    copied = FolderStore(tmp_path / "b/artifacts").blob_path(home.blob.digest).stat().st_ino
    home.backup(tmp_path / "b")
    assert not (tmp_path / "b" / BEGUN).exists()
    assert FolderStore(tmp_path / "b/artifacts").blob_path(home.blob.digest).stat().st_ino == copied
    restore(tmp_path / "b", tmp_path / "again", nothing)
    assert contents(tmp_path / "again") == contents(home.root)


def test_a_restore_that_broke_off_goes_on(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies at its second rename, and again at the second of what is left, until all is done."""
    home.backup(tmp_path / "b")
    genuine, left, deaths = Path.replace, 1, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return genuine(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    while True:
        try:
            restore(tmp_path / "b", tmp_path / "again", nothing)
        except KeyboardInterrupt:
            left, deaths = 1, deaths + 1
        else:
            break
    assert deaths > 5
    assert contents(tmp_path / "again") == contents(home.root)


def test_damage_to_a_backup_is_found_before_anything_is_in_place(home: Home, tmp_path: Path) -> None:
    home.backup(tmp_path / "b")
    path = tmp_path / "b/trainer/checkpoints/1-2.base"
    path.write_bytes(b"stale")
    with pytest.raises(Corrupt, match=r"1-2\.base is damaged"):
        restore(tmp_path / "b", tmp_path / "again", nothing)
    assert [one.name for one in (tmp_path / "again").iterdir()] == [ASIDE]
    path.unlink()
    with pytest.raises(Corrupt, match=r"1-2\.base is missing"):
        restore(tmp_path / "b", tmp_path / "other", nothing)


def test_a_backup_of_a_newer_release_is_refused_in_one_sentence(home: Home, tmp_path: Path) -> None:
    home.backup(tmp_path / "b")
    text = (tmp_path / "b" / RECORD).read_text()
    (tmp_path / "b" / RECORD).write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(Corrupt, match="format 2, which is not known here"):
        restore(tmp_path / "b", tmp_path / "again", nothing)


def test_what_is_damaged_is_not_backed_up_as_if_it_were_whole(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("martlet.backup.partitions.PAUSE_SECONDS", 0.001)
    blob = home.store.blob_path(home.blob.digest)
    blob.write_bytes(BLOB[:-1] + b"!")
    with pytest.raises(Corrupt, match=f"blob {home.blob.digest} of the artifact store is damaged"):
        home.backup(tmp_path / "b")
    segment = home.root / "events/serving-0/0000000000000000.log"
    segment.write_bytes(segment.read_bytes()[:-1] + b"!")
    with pytest.raises(Corrupt, match="partition serving-0 is damaged at 13"):
        home.backup(tmp_path / "b")


def test_a_blob_that_a_version_needs_must_be_there(home: Home, tmp_path: Path) -> None:
    home.enter(1, CatalogState.EXPIRED)
    home.enter(2)
    with pytest.raises(Unavailable, match="version 2 of shop needs blob"):
        home.backup(tmp_path / "b")


def test_who_is_forgotten_while_it_is_copied_is_forgotten_in_it(home: Home, tmp_path: Path) -> None:
    """Records that are erased after the moment must not be missed by a journal that knows nothing of it."""
    told: list[str] = []

    def during(what: str) -> None:
        if what == "checkpoints" and not told:
            home.append("trainer", "journal", b'{"type":"forgot","start":1}')
            FileEventEraser(home.root / "events").replace("serving-0", {0: erased(5)})
        told.append(what)

    home.backup(tmp_path / "b", during)
    assert "once more: a user was forgotten meanwhile" in told
    journal = FileEventReader(tmp_path / "b" / "trainer").read("journal", 0, 99)
    assert journal[-1].payload.startswith(b'{"type":"forgot"')
    assert FileEventReader(tmp_path / "b" / "events").read("serving-0", 0, 99)[0].payload == erased(5)


def test_lost_artifacts_come_back_alone(home: Home, tmp_path: Path) -> None:
    home.backup(tmp_path / "b")
    other = home.store.put(b"later")
    path = home.store.blob_path(home.blob.digest)
    path.unlink()
    (lost,) = restore_artifacts(tmp_path / "b", home.root, home.root / "artifacts", nothing)
    assert lost.path.endswith(home.blob.digest)
    assert (home.store.get(home.blob), home.store.get(other)) == (BLOB, b"later")
    assert restore_artifacts(tmp_path / "b", home.root, home.root / "artifacts", nothing) == ()


def test_there_is_nothing_to_back_up_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no catalog"):
        SqliteCut(tmp_path / "catalog.db")
