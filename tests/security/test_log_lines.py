"""What a line of the log is about stands in fields of its own; what went wrong inside is told by a name alone."""

import json
import logging

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from martlet.errors import Unavailable
from martlet.redaction import without_paths
from martlet.runtime.auth import Authorizer
from martlet.runtime.config import AuthConfig, LogConfig
from martlet.runtime.logs import set_up_logs, trace_log_lines
from martlet.runtime.server import Listen, Server
from martlet.v1 import trainer_pb2, trainer_pb2_grpc


class Failing(trainer_pb2_grpc.TrainerServiceServicer):
    error: Exception = ZeroDivisionError("the secret is 4711")

    async def GetTrainerStatus(self, request: object, context: object) -> trainer_pb2.GetTrainerStatusResponse:
        raise self.error


async def failed(servicer: Failing, *metadata: tuple[str, str]) -> str:
    server = Server("trainer", Listen("127.0.0.1", 0, 0), CollectorRegistry(), Authorizer(AuthConfig()))
    server.add(
        "martlet.v1.TrainerService", lambda to: trainer_pb2_grpc.add_TrainerServiceServicer_to_server(servicer, to)
    )
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = trainer_pb2_grpc.TrainerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.GetTrainerStatus(trainer_pb2.GetTrainerStatusRequest(), metadata=metadata)  # type: ignore[misc]
    await server.stop(0)
    return error.value.details() or ""


@pytest.mark.parametrize("given", ["order-77", 'a"b', ""])
async def test_an_unexpected_error_is_told_by_its_requests_name(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig("error", "json"))
    told = await failed(Failing(), ("x-request-id", given))
    assert "4711" not in told
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["request"] in told
    assert (entry["request"] == given) is (given == "order-77")
    assert entry["method"] == "/martlet.v1.TrainerService/GetTrainerStatus"
    assert "4711" in entry["error"]


async def test_a_path_is_not_told_to_callers() -> None:
    servicer = Failing()
    servicer.error = Unavailable("cannot read /srv/martlet/data/artifacts/blobs/ab/mt1-ab: broken")
    told = await failed(servicer)
    assert told == "cannot read …/mt1-ab: broken"


def test_fields_of_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig("info", "json"))
    trace_log_lines(lambda: "00-ab-cd-01")
    about = {"prediction": "p-1", "model": "shop", "version": 7, "unknown": "x"}
    logging.getLogger("shop").info("it is so", extra=about)
    entry = json.loads(capsys.readouterr().err)
    assert entry.items() >= {"prediction": "p-1", "model": "shop", "version": 7, "trace": "00-ab-cd-01"}.items()
    assert "unknown" not in entry


@pytest.mark.parametrize("kept", ["1/2/3", "http://host/a/b/c", "/martlet.v1.X/Y", "a/b/c"])
def test_what_is_no_path_stays(kept: str) -> None:
    assert without_paths(kept) == kept
