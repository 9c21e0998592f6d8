"""The wire contract of another release, from its descriptors alone: clients that speak it, and services that know it.

There is the contract as it was released last (`protos/released.binpb`), an older one, which lacks what the test takes
away, and a newer one, in which every message has one field more and every enumeration one word more.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

from martlet.v1 import events_pb2, registry_pb2, serving_pb2, trainer_pb2

RELEASED_FILE = Path(__file__).parents[2] / "protos" / "released.binpb"
PACKAGE = "martlet.v1"
FUTURE_FIELD, FUTURE_NUMBER = "from_the_future", 19_000 - 1
FUTURE_WORD = 99


@dataclass(frozen=True)
class Method:
    """One RPC: `/martlet.v1.XService/Y`."""

    service: str
    name: str
    request: type[Message]
    response: type[Message]
    streams: bool

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


class Release:
    """A contract, in a descriptor pool of its own."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.files = files

    @classmethod
    def last(cls) -> "Release":
        """As it was released."""
        return cls(descriptor_pb2.FileDescriptorSet.FromString(RELEASED_FILE.read_bytes()))

    @classmethod
    def today(cls) -> "Release":
        """As the code speaks it."""
        files = descriptor_pb2.FileDescriptorSet()
        added: set[str] = set()
        for module in (events_pb2, serving_pb2, registry_pb2, trainer_pb2):
            _add(module.DESCRIPTOR, files, added)
        return cls(files)

    def without(self, calls: Iterable[str] = (), fields: Mapping[str, Iterable[str]] | None = None) -> "Release":
        """An older one: without some calls, and without some fields of messages."""
        files = descriptor_pb2.FileDescriptorSet()
        files.CopyFrom(self.files)
        gone, less = set(calls), {name: set(those) for name, those in (fields or {}).items()}
        for file in files.file:
            for service in file.service:
                _keep(service.method, lambda method: method.name not in gone)
            for message in file.message_type:
                _keep(message.field, lambda field, message=message: field.name not in less.get(message.name, ()))
        return Release(files)

    def newer(self) -> "Release":
        """A newer one: one more field in every message, one more word in every enumeration."""
        files = descriptor_pb2.FileDescriptorSet()
        files.CopyFrom(self.files)
        for file in files.file:
            for message in file.message_type:
                if file.package == PACKAGE:
                    kind = descriptor_pb2.FieldDescriptorProto
                    message.field.add(
                        name=FUTURE_FIELD,
                        json_name="fromTheFuture",
                        number=FUTURE_NUMBER,
                        type=kind.TYPE_STRING,
                        label=kind.LABEL_OPTIONAL,
                    )
            for enum in file.enum_type:
                if file.package == PACKAGE:
                    enum.value.add(name=f"{enum.value[0].name.removesuffix('UNSPECIFIED')}FUTURE", number=FUTURE_WORD)
        return Release(files)

    @cached_property
    def pool(self) -> descriptor_pool.DescriptorPool:
        """Its own, so that no message of today's gets in."""
        pool = descriptor_pool.DescriptorPool()
        for file in self.files.file:
            pool.Add(file)
        return pool

    @cached_property
    def methods(self) -> dict[str, Method]:
        """All RPCs of Martlet's own services, by name; names are unique among them."""
        found = {}
        for file in self.files.file:
            for service in file.service if file.package == PACKAGE else ():
                for method in service.method:
                    name = f"{PACKAGE}.{service.name}"
                    kinds = (self.message(method.input_type[1:]), self.message(method.output_type[1:]))
                    found[method.name] = Method(name, method.name, *kinds, method.server_streaming)
        return found

    def message(self, name: str) -> type[Message]:
        """A message's class, by its full name."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def words(self) -> dict[str, list[str]]:
        """Enumeration → its words."""
        files = (file for file in self.files.file if file.package == PACKAGE)
        return {enum.name: [value.name for value in enum.value] for file in files for enum in file.enum_type}


class Client:
    """Asks by this release's contract, whatever the other side knows."""

    def __init__(self, release: Release, address: str) -> None:
        self._release = release
        self._channel = grpc.aio.insecure_channel(address)

    async def ask(self, name: str, request: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer (of a stream the first one), as protobuf's JSON has it with the contract's own names."""
        method = self._release.methods[name]
        message = json_format.ParseDict(dict(request or {}), method.request(), descriptor_pool=self._release.pool)
        into_the_future(message, frozenset(self._release.words()))
        opened = self._channel.unary_stream if method.streams else self._channel.unary_unary
        call = opened(method.path, type(message).SerializeToString, method.response.FromString)(message, timeout=30)
        answer = await anext(aiter(call)) if method.streams else await call
        if method.streams:
            call.cancel()
        return json_format.MessageToDict(
            answer, preserving_proto_field_name=True, descriptor_pool=self._release.pool,
            always_print_fields_with_no_presence=True,
        )  # fmt: skip

    async def close(self) -> None:
        await self._channel.close()


class Between:
    """Stands before a service and lets through what a release knows: it plays that service of that release.

    What the release has no field for is lost, a call that it does not have is UNIMPLEMENTED. A newer release fills its
    new fields, and says its new word wherever an answer has an enumeration (`future_words`).
    """

    def __init__(self, release: Release, address: str, future_words: Iterable[str] = ()) -> None:
        self._release = release
        self._future = frozenset(future_words)
        self._channel = grpc.aio.insecure_channel(address)
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers([_Handlers(self)])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    async def start(self) -> "Between":
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(None)
        await self._channel.close()

    def handler(self, path: str) -> grpc.RpcMethodHandler | None:
        """How a call is passed on; None: the release does not have it."""
        method = next((one for one in self._release.methods.values() if one.path == path), None)
        if method is None:
            return None
        made = grpc.unary_stream_rpc_method_handler if method.streams else grpc.unary_unary_rpc_method_handler
        return made(self._stream(method) if method.streams else self._single(method))

    def _single(self, method: Method) -> Any:
        call = self._channel.unary_unary(method.path)

        async def passed(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                return self._known(method.response, await call(self._known(method.request, request), timeout=30))
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")

        return passed

    def _stream(self, method: Method) -> Any:
        call = self._channel.unary_stream(method.path)

        async def passed(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            async for answer in call(self._known(method.request, request)):
                yield self._known(method.response, answer)

        return passed

    def _known(self, kind: type[Message], encoded: bytes) -> bytes:
        """What the release makes of a message."""
        message = kind.FromString(encoded)
        message.DiscardUnknownFields()
        into_the_future(message, self._future)
        return message.SerializeToString()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, between: Between) -> None:
        self._between = between

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler | None:
        return self._between.handler(handler_call_details.method)


def into_the_future(message: Message, words: frozenset[str]) -> None:
    """Fills the fields that only a newer release has, all the way down."""
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        parts = value if field.is_repeated else [value]
        if field.message_type is not None:
            for part in parts:
                into_the_future(part, words)
        elif field.enum_type is not None and field.enum_type.name in words and FUTURE_WORD in _numbers(field):
            setattr(message, field.name, FUTURE_WORD)
    if FUTURE_FIELD in message.DESCRIPTOR.fields_by_name:
        setattr(message, FUTURE_FIELD, "hello")


def _add(file: Any, files: descriptor_pb2.FileDescriptorSet, added: set[str]) -> None:
    """A file behind those that it imports."""
    if file.name not in added:
        added.add(file.name)
        for imported in file.dependencies:
            _add(imported, files, added)
        file.CopyToProto(files.file.add())


def _numbers(field: Any) -> set[int]:
    return {value.number for value in field.enum_type.values}


def _keep(those: Any, wanted: Any) -> None:
    kept = [one for one in those if wanted(one)]
    del those[:]
    those.extend(kept)
