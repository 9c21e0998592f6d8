"""The tables of a process that builds them itself: a replica alone, or the builder of a host."""

from pathlib import Path

from martlet.runtime.config import Config
from martlet.runtime.parts import artifact_store
from serving_svc.table_arena import TableArena
from serving_svc.table_view import TableViews


def table_views(config: Config, folder: Path) -> TableViews:
    """Tables in a folder, as configured."""
    headroom = config.serving.arena_headroom
    artifacts = artifact_store(config, cached=True)
    return TableViews(artifacts, folder, lambda path, base, width: TableArena(path, base, width, headroom))
