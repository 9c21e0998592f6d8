"""One builder, several workers: tables are mapped, given back, and outlive the builder."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from martlet.artifacts import FolderStore
from martlet.errors import Corrupt, Unavailable
from martlet.manifest import TableManifest, decode_manifest
from serving_svc.shared_tables import SharedTable, SharedTables
from serving_svc.table_arena import TableArena
from serving_svc.table_builder import TableBuilder
from serving_svc.table_messages import LENGTH, MAX_MESSAGE
from serving_svc.table_view import TableViews
from tests.integration.tiny_version import TinyTrainer
from tests.unit.serving.fakes import until


class Host:
    """A builder, and the versions of a trainer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = FolderStore(root / "artifacts")
        self.trainer = TinyTrainer(self.store)
        for item in range(20):
            self.trainer.learn("item", item, [float(item)] * 4)
        self.socket = root / "host" / "tables.socket"
        self.starts = 0
        self.executor = ThreadPoolExecutor(1)
        self.workers: list[SharedTables] = []

    def worker(self) -> SharedTables:
        self.workers.append(SharedTables(self.socket, patience=0.2))
        return self.workers[-1]

    async def start(self) -> None:
        self.starts += 1
        folder = self.root / "host" / "arenas"
        self.views = TableViews(
            self.store, folder, lambda path, base, width: TableArena(path, base, width, headroom=1.0)
        )
        self.builder = TableBuilder(self.views, folder, self.executor)
        await self.builder.start(self.socket)

    def version(self) -> TableManifest:
        digest = self.trainer.publish()
        return decode_manifest(self.store.get_manifest(digest)).tables[0]

    @property
    def held(self) -> int:
        return sum(loaded.users for loaded in self.views._loaded)

    @property
    def files(self) -> list[str]:
        return sorted(path.suffix for path in (self.root / "host" / "arenas").iterdir())


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    host = Host(tmp_path)
    await host.start()
    yield host
    for worker in host.workers:
        worker.disconnect()
    await host.builder.stop()
    host.executor.shutdown()


async def opened(worker: SharedTables, table: TableManifest) -> SharedTable:
    return await asyncio.to_thread(worker.open, table)


def rows_of(loaded: SharedTable) -> list[float]:
    """The first column of all rows that hold something, as this version sees them."""
    rows = loaded.rows.reshape(loaded.keys.shape[0], 4, -1)[loaded.view.directory][..., 0]
    return sorted(rows[rows != 0].tolist())


async def test_workers_read_the_same_file_and_each_version_its_own_rows(host: Host) -> None:
    first, workers = host.version(), [host.worker(), host.worker()]
    old = [await opened(worker, first) for worker in workers]
    host.trainer.learn("item", 3, [33.0] * 4)
    second = host.version()
    new = [await opened(worker, second) for worker in workers]
    assert [rows_of(loaded) for loaded in old] == [[float(n) for n in range(1, 20)]] * 2
    assert [rows_of(loaded) for loaded in new] == [sorted([*(float(n) for n in range(1, 20) if n != 3), 33.0])] * 2
    assert host.files == [".arena", ".directory", ".directory"]
    assert old[0].keys.ctypes.data == new[0].keys.ctypes.data  # one mapping for both versions
    with pytest.raises(ValueError, match="read-only"):
        old[0].keys[0, 0] = 1
    for worker, *tables in zip(workers, old, new, strict=True):
        for loaded in tables:
            await asyncio.to_thread(worker.close, loaded)
    assert (host.held, host.files) == (0, [])


async def test_what_a_dead_worker_held_is_given_back_and_what_others_hold_is_not(host: Host) -> None:
    table, dead, living = host.version(), host.worker(), host.worker()
    lost = await opened(dead, table)
    kept = await opened(living, table)
    lost.connection._socket.close()
    await until(lambda: host.held == 1)
    assert rows_of(kept) == [float(n) for n in range(1, 20)]
    assert host.files == [".arena", ".directory"]


async def test_when_the_builder_dies_workers_keep_what_they_have_and_reopen_from_the_next(host: Host) -> None:
    worker, table = host.worker(), host.version()
    old = await opened(worker, table)
    await host.builder.stop()
    host.socket.unlink(missing_ok=True)
    with pytest.raises(Unavailable, match="no table builder answers"):
        await opened(worker, table)
    await host.start()
    new = await opened(worker, table)
    assert rows_of(old) == rows_of(new)
    await asyncio.to_thread(worker.close, old)
    assert host.held == 1
    await asyncio.to_thread(worker.close, new)
    assert host.held == 0


async def test_a_builder_that_is_started_again_meanwhile_is_waited_for(host: Host) -> None:
    worker, table = SharedTables(host.socket, patience=10), host.version()
    old = await opened(worker, table)
    await host.builder.stop()
    host.socket.unlink(missing_ok=True)
    opening = asyncio.create_task(opened(worker, table))
    await asyncio.sleep(0.1)
    await host.start()
    assert rows_of(await opening) == rows_of(old)
    await asyncio.to_thread(worker.close, old)
    worker.disconnect()


async def test_a_builder_says_what_is_wrong_with_a_table(host: Host) -> None:
    worker, table = host.worker(), host.version()
    path = host.store.blob_path(table.base.digest)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(Corrupt, match="does not match its digest"):
        await opened(worker, table)
    assert (host.held, host.files) == (0, [])


@pytest.mark.parametrize(
    "sent", [LENGTH.pack(MAX_MESSAGE + 1), LENGTH.pack(3) + b"abc"], ids=["too long", "no request"]
)
async def test_a_worker_that_talks_nonsense_keeps_what_it_reads_until_it_hangs_up(host: Host, sent: bytes) -> None:
    worker = host.worker()
    loaded = await opened(worker, host.version())
    loaded.connection._socket.sendall(sent)
    await asyncio.sleep(0.05)
    assert host.held == 1
    loaded.connection._socket.close()
    await until(lambda: host.held == 0)


async def test_nobody_else_may_reach_the_socket_or_the_arenas(host: Host) -> None:
    assert [folder.stat().st_mode & 0o777 for folder in (host.socket.parent, host.socket.parent / "arenas")] == [
        0o700
    ] * 2
