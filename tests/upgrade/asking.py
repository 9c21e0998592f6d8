"""Every call of a release's contract, asked of today's services."""

import base64
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from tests.upgrade.golden_traffic import MODEL
from tests.upgrade.the_loop import Loop
from tests.upgrade.wire_release import Client, Release

USER = {"number": 3}
CONTEXT = {"hour": {"number": 5.0}}
CANDIDATES = [{"item_id": {"number": 1}}, {"item_id": {"number": 2}, "features": {"item.price": {"number": 9.0}}}]
WORD = {"model": MODEL, "who": "ada", "why": "a rehearsal"}
ROW = {"user": 1, "time_us": 1, "label": 1.0, "scored_by": [1], "logits": [0.5]}

SERVING: Mapping[str, Mapping[str, Any]] = {
    "Rank": {"model": MODEL, "user_id": USER, "context": CONTEXT, "candidates": CANDIDATES},
    "Recommend": {"model": MODEL, "user_id": USER, "context": CONTEXT, "k": 3},
    "Explain": {"model": MODEL, "user_id": USER, "context": CONTEXT, "candidate": CANDIDATES[0], "permutations": 2},
    "GetServingStatus": {},
    "RecordOutcomes": {
        "outcomes": [{"event_id": "asked", "prediction_id": "none", "item_id": USER, "type": "rating", "value": 5.0}]
    },
    "UpsertItems": {"model": MODEL, "items": [{"item_id": {"number": 1}, "attributes": {"item.price": {"number": 6}}}]},
    "DeleteItems": {"model": MODEL, "item_ids": [{"number": 11}]},
}
REGISTRY: Mapping[str, Mapping[str, Any]] = {
    "GetVersion": {"model": MODEL, "version": 1},
    "ListVersions": {"model": MODEL, "with_manifests": True},
    "GetLineage": {"model": MODEL},
    "WatchAspired": {"models": [MODEL], "replica": "asker"},
    "ReportReplica": {
        "replica": "asker",
        "servables": [{"model": MODEL, "version": 1, "state": "VERSION_STATE_READY", "requests": 7}],
    },
    "ReportMeasurements": {
        "producer": "asker",
        "sequence": 1,
        "measurements": [{"model": MODEL, "version": 1, "name": "auc", "count": 1, "sum": 0.5, "sum_of_squares": 0.25}],
    },
    "ReportEvidence": {"producer": "asker", "sequence": 1, "model": MODEL, "rows": [ROW]},
    "AcknowledgeRewind": {"model": MODEL, "epoch": 77, "digest": "none"},
    "ExpireVersions": {**WORD, "below_version": 1},
    "ShowRollout": {"model": MODEL, "decisions": 5},
    "PromoteVersion": {**WORD, "version": 999},
    "PinVersion": {**WORD, "version": 999},
    "ThawRollout": WORD,
    "AbortRollout": WORD,
}
TRAINER: Mapping[str, Mapping[str, Any]] = {
    "GetTrainerStatus": {},
    "ReadmitRange": {**WORD, "epoch": 77},
    "ForgetUser": {**WORD, "user_id": {"text": "nobody"}},
    "ListErasures": {"model": MODEL},
    "StartRun": {**WORD, "strategy": "none"},
    "ListRuns": {"model": MODEL},
}
# What these ask for is refused, in the domain's words.
REFUSED: Mapping[str, grpc.StatusCode] = {
    "AcknowledgeRewind": grpc.StatusCode.FAILED_PRECONDITION,
    "PromoteVersion": grpc.StatusCode.FAILED_PRECONDITION,
    "PinVersion": grpc.StatusCode.NOT_FOUND,
    "ThawRollout": grpc.StatusCode.FAILED_PRECONDITION,
    "ReadmitRange": grpc.StatusCode.NOT_FOUND,
    "StartRun": grpc.StatusCode.INVALID_ARGUMENT,
}


async def ask_everything(release: Release, loop: Loop) -> None:
    """Each call that the release knows is answered, or refused for its own reason; and the answers say something."""
    known = {*SERVING, *REGISTRY, *TRAINER, "PublishVersion"}
    assert release.methods.keys() <= known, f"say here how to ask {sorted(release.methods.keys() - known)}"
    running = loop.services.running
    clients = {name: Client(release, running[name].address) for name in running}
    said: dict[str, dict[str, Any]] = {}
    for name, requests in (("serving", SERVING), ("trainer", TRAINER), ("registry", REGISTRY)):
        for call, request in requests.items():
            if call in release.methods:
                said[call] = await ask(clients[name], call, request)
    manifest = said["GetVersion"]["record"]["manifest"]
    said["PublishVersion"] = await ask(clients["registry"], "PublishVersion", {"manifest": manifest})
    for client in clients.values():
        await client.close()
    check_answers(said)
    assert base64.b64decode(manifest).startswith(b"{")


async def ask(client: Client, call: str, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        answer = await client.ask(call, request)
    except grpc.aio.AioRpcError as error:
        if error.code() is not REFUSED.get(call):
            raise AssertionError(f"{call}: {error.code()}: {error.details()}") from error
        return {}
    assert call not in REFUSED, f"{call} was not refused"
    return answer


def check_answers(said: Mapping[str, dict[str, Any]]) -> None:
    assert len(said["Rank"]["items"]) == 2
    assert said["Rank"]["prediction_id"]
    assert len(said["Recommend"]["items"]) == 3
    assert said["GetServingStatus"]["servables"]
    assert said["RecordOutcomes"]["position"]["offset"] != "0"
    assert said["GetVersion"]["record"]["version"] == said["PublishVersion"]["record"]["version"] == "1"
    assert said["GetLineage"]["pin_version"] == "1"
    assert said["WatchAspired"]["models"][0]["versions"]
    assert said["GetTrainerStatus"]["outcomes"]["learned"] != "0"
