"""Client of the standard health service, which every Martlet service answers without a token."""

from enum import StrEnum
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from martlet.client.channel import OPTIONS
from martlet.client.dialling import dial
from martlet.client.tls import Plaintext, Tls


class Health(StrEnum):
    """What a service says of itself, or that nothing answers."""

    SERVING = "serving"
    NOT_SERVING = "not serving"
    UNREACHABLE = "unreachable"


async def health_of(
    address: str,
    service: str = "",
    timeout: float = 2.0,  # noqa: ASYNC109  gRPC's own
    tls: Tls | Plaintext | None = None,
) -> Health:
    """The health of a process, or of one of its services. Never raises: whatever fails is UNREACHABLE."""
    channel = dial(address, OPTIONS, tls)
    stub: Any = health_pb2_grpc.HealthStub(channel)  # its types describe the blocking stub alone
    try:
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
    except grpc.aio.AioRpcError:
        return Health.UNREACHABLE
    finally:
        await channel.close()
    return Health.SERVING if reply.status == health_pb2.HealthCheckResponse.SERVING else Health.NOT_SERVING
