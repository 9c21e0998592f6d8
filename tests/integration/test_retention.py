"""Versions expire, and take nothing with them that another version needs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.client.registry import BlockingRegistryClient
from martlet.errors import Conflict, InvalidInput, NotFound
from martlet.manifest import Manifest, encode_manifest
from martlet.versions import CatalogState, Expiry, ServableStatus, VersionRecord, VersionState
from registry_svc.lane import Lane, Member
from registry_svc.retention import EXPIRABLE, expirable, kept_from, unneeded
from tests.integration.registry_stage import Stage, stage_in
from tests.unit.registry.samples import lane, record

LANE = lane(head=Member(9, "v9"), pin=Member(6, "v6"), candidate=Member(8, "v8"))


def records(*states: CatalogState) -> list[VersionRecord]:
    return [replace(record(number), state=state) for number, state in enumerate(states, start=1)]


def test_only_what_nobody_aspires_to_expires() -> None:
    states = (CatalogState.RETIRED, CatalogState.REJECTED, CatalogState.ROLLED_BACK, CatalogState.QUARANTINED)
    found = records(*states, CatalogState.EXPIRED, CatalogState.PINNED)
    assert expirable(found, LANE, 6) == (1, 2, 3, 4)
    assert expirable(found, LANE, 3) == (1, 2)


@pytest.mark.parametrize(("below", "role"), [(7, "the pin"), (9, "the pin"), (100, "the pin")])
def test_an_aspired_version_stands_in_the_way(below: int, role: str) -> None:
    with pytest.raises(Conflict, match=f"version 6 is {role}"):
        expirable(records(CatalogState.RETIRED), LANE, below)


@given(retired=st.integers(0, 60), kept=st.integers(1, 20))
def test_sweeping_leaves_at_least_what_is_to_be_kept(retired: int, kept: int) -> None:
    found = records(*[CatalogState.RETIRED] * retired, CatalogState.PINNED)
    standing = Lane("shop", head=Member(retired + 1, "v"), pin=Member(retired + 1, "v"))
    below = kept_from(found, standing, kept)
    gone = expirable(found, standing, below) if below else ()
    assert retired - len(gone) >= min(kept, retired)
    assert retired - len(gone) <= kept + kept // 4


def test_the_states_that_expire_are_those_that_answer_nobody() -> None:
    assert frozenset(CatalogState) - EXPIRABLE == {
        CatalogState.PENDING, CatalogState.ADMITTED, CatalogState.PINNED, CatalogState.EXPIRED,
    }  # fmt: skip


def existing(stage: Stage, manifest: Manifest) -> list[bool]:
    return [stage.trainer.store.blob_path(blob.digest).exists() for blob in manifest.blobs()]


async def expire(stage: Stage, model: str, below: int, who: str = "ann", why: str = "disk") -> Expiry:
    client = BlockingRegistryClient(stage.address)
    try:
        return await asyncio.to_thread(client.expire, model, below, who, why)
    finally:
        client.close()


async def until_pinned(stage: Stage, version: int) -> None:
    """Replicas say that every version is well until this one is the pin."""
    for requests in range(10, 1000, 10):
        versions = await stage.client.versions("shop")
        if versions[version - 1].state is CatalogState.PINNED:
            return
        well = [ServableStatus("shop", one.version, one.digest, VersionState.READY, "", requests) for one in versions]
        await stage.client.report_replica("a", well)
        await asyncio.sleep(0.05)
    raise AssertionError(f"version {version} never became the pin")


async def published(stage: Stage, make: Callable[[], Manifest], count: int) -> list[Manifest]:
    manifests = []
    for _ in range(count):
        manifest = make()
        await stage.publish(manifest)
        manifests.append(manifest)
    return manifests


async def test_expiring_removes_what_no_later_version_needs(tmp_path: Path) -> None:
    async with stage_in(tmp_path) as stage:
        numbers = iter(range(1, 9))
        first = stage.trainer.newest
        await stage.publish(first)
        chain = await published(stage, lambda: stage.trainer.delta(float(next(numbers))), 3)
        head = (await stage.client.lineage("shop")).head_version
        with pytest.raises(Conflict, match="version 1 is the pin"):
            await expire(stage, "shop", head)
        await until_pinned(stage, head)
        gone = await expire(stage, "shop", head)
        states = [one.state for one in await stage.client.versions("shop")]
        assert (gone.versions, states[:3]) == (3, [CatalogState.EXPIRED] * 3)
        # The base and every delta of the chain are the head's too; only the dense weights were each version's own.
        assert all(existing(stage, chain[-1]))
        assert [existing(stage, one)[1] for one in (first, *chain)] == [False, False, False, True]
        assert gone.artifacts == len(unneeded([first, *chain[:-1]], [chain[-1]])) == 3
        again = await expire(stage, "shop", head)
        assert (again.versions, again.artifacts) == (0, 0)


async def test_what_expired_is_offered_in_vain(tmp_path: Path) -> None:
    async with stage_in(tmp_path) as stage:
        first = stage.trainer.newest
        await stage.publish(first)
        await stage.publish(stage.trainer.delta())
        await until_pinned(stage, 2)
        await expire(stage, "shop", 2)
        assert (await stage.client.publish(encode_manifest(first))).state is CatalogState.EXPIRED


async def test_who_and_why_must_be_said_and_the_model_be_known(tmp_path: Path) -> None:
    async with stage_in(tmp_path) as stage:
        with pytest.raises(NotFound):
            await expire(stage, "nobody", 5)
        with pytest.raises(InvalidInput, match="who and why"):
            await expire(stage, "nobody", 5, who=" ")
