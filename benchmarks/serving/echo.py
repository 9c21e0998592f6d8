"""The floor under every Python server: grpc.aio on uvloop that answers a fixed reply to anything, undecoded."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

METHOD = "/inference.GRPCInferenceService/ModelInfer"


async def serve(reply_bytes: int, ports_file: Path) -> None:
    """Answers for ever."""
    reply = b"\0" * reply_bytes

    async def echo(_request: bytes, _context: Any) -> bytes:
        return reply

    class Handler(grpc.GenericRpcHandler):
        def service(self, _details: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(echo)

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ports_file.write_text(json.dumps({"grpc_port": port}))  # noqa: ASYNC240  before anybody calls
    await server.wait_for_termination()


def main() -> None:
    """`python -m benchmarks.serving.echo --reply-bytes N --ports-file PATH`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reply-bytes", type=int, required=True)
    parser.add_argument("--ports-file", type=Path, required=True)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options.reply_bytes, options.ports_file))


if __name__ == "__main__":
    main()
