"""A catalog that is nothing but its journal: every answer is a replay."""

from dataclasses import replace

from martlet.errors import NotFound
from martlet.versions import VersionRecord
from registry_svc.catalog import Moved, Standing
from registry_svc.journal import Decision, Replayed, replay
from registry_svc.lane import Lane


class MemoryCatalog:
    """Passes the laws of `tests/checks/test_catalog.py`."""

    def __init__(self) -> None:
        self._decisions: dict[str, list[Decision]] = {}
        self._manifests: dict[tuple[str, int], bytes] = {}

    def standing(self, model: str) -> Standing:
        state = self._replayed(model)
        return Standing(state.lane, len(self._decisions.get(model, ())), max(state.versions, default=0))

    def lanes(self) -> list[Lane]:
        return [self._replayed(model).lane for model in sorted(self._decisions)]

    def commit(self, decision: Decision, standing: Standing, manifest: bytes = b"") -> None:
        model, added = decision.lane.model, decision.added
        taken = self._decisions.get(model, [])
        known = added is not None and self.find(model, added.digest) is not None
        if len(taken) != standing.decisions or known:
            raise Moved(f"{model} has changed")
        self._replayed(model).after(decision)
        self._decisions[model] = [*taken, decision]
        if added is not None:
            self._manifests[model, added.version] = manifest

    def find(self, model: str, digest: str) -> VersionRecord | None:
        found = [record for record in self._replayed(model).versions.values() if record.digest == digest]
        return self._whole(found[0]) if found else None

    def get(self, model: str, version: int) -> VersionRecord:
        record = self._replayed(model).versions.get(version)
        if record is None:
            raise NotFound(f"{model} has no version {version}")
        return self._whole(record)

    def versions(self, model: str, after: int, limit: int, *, with_manifests: bool) -> list[VersionRecord]:
        found = self._replayed(model).versions
        page = [found[version] for version in sorted(found) if version > after][:limit]
        return [self._whole(record) for record in page] if with_manifests else page

    def journal(self, model: str, after: int = 0, limit: int | None = None) -> list[Decision]:
        rest = self._decisions.get(model, [])[after:]
        return rest if limit is None else rest[:limit]

    def _replayed(self, model: str) -> Replayed:
        return replay(model, self._decisions.get(model, ()))

    def _whole(self, record: VersionRecord) -> VersionRecord:
        return replace(record, manifest=self._manifests[record.model, record.version])
