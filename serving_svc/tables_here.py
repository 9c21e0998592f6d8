"""The tables of a process that builds them itself: a replica alone, or the builder of a host."""

from pathlib import Path

from martlet.artifacts import FolderStore
from martlet.runtime.config import Config
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews


def table_views(config: Config, folder: Path) -> TableViews:
    """Tables in a folder, as configured."""
    headroom = config.serving.arena_headroom
    return TableViews(
        FolderStore(config.artifact_dir), folder, lambda path, base, width: TableArena(path, base, width, headroom)
    )
