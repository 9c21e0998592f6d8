"""The connection to NATS: one for a process, on an event loop of its own thread, for callers that block.

The only module that knows the NATS client. It is imported where JetStream is configured, and nowhere else.
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import TimeoutError as NotDone
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from martlet.errors import Unavailable

logger = logging.getLogger(__name__)
Found = TypeVar("Found")

CONNECT_SECONDS: Final = 2.0
CALL_SECONDS: Final = 5.0
_MARGIN_SECONDS: Final = 5.0  # a call ends by its own time limits; this one is for a loop that hangs
_PENDING: Final = 1 << 16


class Message(NamedTuple):
    """A message with its headers."""

    payload: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the servers are, and who asks.

    Attributes:
        servers: URLs of the cluster's servers.
        credentials: a credentials file, or none.
        ca: a file with the authorities that the servers' certificates are of; None: the machine's.
        name: of this client, as the servers show it.
    """

    servers: tuple[str, ...] = field(repr=False)  # may hold a password
    credentials: Path | None = None
    ca: Path | None = None
    name: str = "martlet"


class NatsLink:
    """Connects when it is first needed, and again for ever. Thread-safe; every call blocks.

    Every call raises Unavailable when no server answers in time.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._client: Client | None = None
        self._acks: Subscription | None = None
        self._inbox = ""
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._calls = 0
        self._heard = ""
        self._loop = asyncio.new_event_loop()
        self._connecting = asyncio.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._thread.start()

    def request(self, subject: str, payload: bytes) -> bytes:
        """Asks, and gives the answer."""

        async def ask(client: Client) -> bytes:
            return (await client.request(subject, payload, timeout=CALL_SECONDS)).data

        return self._call(ask)

    def publish(self, subject: str, messages: Sequence[Message]) -> list[bytes]:
        """Sends messages one behind another, and gives the server's answer to each."""
        return self._call(lambda client: self._publish(client, subject, messages))

    def collect(self, subject: str, payload: bytes) -> list[Message]:
        """Asks for many messages, and gives those that came before the one that bears a status."""
        return self._call(lambda client: _collect(client, subject, payload))

    def max_payload(self) -> int:
        """Bytes of the largest message that the servers take, headers included."""

        async def tell(client: Client) -> int:
            return client.max_payload

        return self._call(tell)

    def close(self) -> None:
        """Disconnects. Idempotent."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result(CALL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, make: Callable[[Client], Coroutine[Any, Any, Found]]) -> Found:
        async def call() -> Found:
            return await make(await self._connected())

        if not self._thread.is_alive():
            raise Unavailable("the connection to NATS is closed")
        running = asyncio.run_coroutine_threadsafe(call(), self._loop)
        try:
            return running.result(CONNECT_SECONDS + CALL_SECONDS + _MARGIN_SECONDS)
        except (TimeoutError, NatsError, OSError, NotDone) as error:
            running.cancel()
            raise Unavailable(f"NATS does not answer: {_told(error)}") from error

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect()
        if not self._client.is_connected:  # it tries by itself; what is sent meanwhile would only wait in memory
            raise Unavailable("NATS does not answer: not connected")
        return self._client

    async def _connect(self) -> Client:
        credentials, ca = self._address.credentials, self._address.ca
        self._heard = ""
        connecting = nats.connect(
            list(self._address.servers),
            name=self._address.name,
            user_credentials=str(credentials) if credentials else None,
            tls=ssl.create_default_context(cafile=ca) if ca else None,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,
            connect_timeout=1,
            ping_interval=10,
            max_outstanding_pings=2,
            error_cb=self._note,
        )
        try:
            client = await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except TimeoutError as error:  # it has tried again and again: why, it has told
            raise TimeoutError(self._heard or "no answer") from error
        self._inbox = client.new_inbox()
        self._acks = await client.subscribe(f"{self._inbox}.*", cb=self._take_ack)
        return client

    async def _note(self, error: Exception) -> None:
        told = _told(error)
        if isinstance(error, NatsError) or not self._heard:  # what a server said says more than a broken connection
            self._heard = told
        logger.warning("NATS: %s", told)

    async def _disconnect(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _take_ack(self, message: Msg) -> None:
        waiting = self._waiting.pop(message.subject, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message.data)

    async def _publish(self, client: Client, subject: str, messages: Sequence[Message]) -> list[bytes]:
        self._calls += 1
        replies = [f"{self._inbox}.{self._calls}-{number}" for number in range(len(messages))]
        acks = [self._loop.create_future() for _ in messages]
        self._waiting.update(zip(replies, acks, strict=True))
        try:
            for reply, message in zip(replies, messages, strict=True):
                await client.publish(subject, message.payload, reply=reply, headers=dict(message.headers))
            return await asyncio.wait_for(asyncio.gather(*acks), CALL_SECONDS)
        finally:
            for reply in replies:
                self._waiting.pop(reply, None)


async def _collect(client: Client, subject: str, payload: bytes) -> list[Message]:
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, pending_msgs_limit=_PENDING, pending_bytes_limit=-1)
    try:
        await client.publish(subject, payload, reply=inbox)
        found: list[Message] = []
        while True:
            message = await subscription.next_msg(timeout=CALL_SECONDS)
            headers = message.headers or {}
            if "Status" in headers:
                return found
            found.append(Message(message.data, headers))
    finally:
        await subscription.unsubscribe()


def _told(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
