"""tritonclient.grpc.aio: the same server from an event loop, many requests at once, and a stream."""

import asyncio
import sys

import tritonclient.grpc.aio as triton
from triton_sync import ECHO, ECHO_HALF, check_answer, inputs_of


async def main(address: str) -> None:
    """Asks everything."""
    async with triton.InferenceServerClient(address) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(ECHO)
        assert (await client.get_model_config(ECHO)).config.name == ECHO
        assert (await client.get_model_repository_index()).models
        for model in (ECHO, ECHO_HALF):
            metadata = await client.get_model_metadata(model)
            results = await asyncio.gather(*(client.infer(model, inputs_of(metadata)) for _ in range(20)))
            for result in results:
                check_answer(metadata, result)
        (stats,) = (await client.get_inference_statistics(ECHO_HALF)).model_stats
        assert stats.inference_count >= 40
        await check_stream(client)


async def check_stream(client: triton.InferenceServerClient) -> None:
    """One answer for each request, in order."""
    metadata = await client.get_model_metadata(ECHO)

    async def requests():
        for number in range(5):
            yield {"model_name": ECHO, "inputs": inputs_of(metadata), "request_id": str(number)}

    ids = []
    async for result, error in client.stream_infer(requests()):
        assert error is None, error
        check_answer(metadata, result)
        ids.append(result.get_response().id)
    assert ids == ["0", "1", "2", "3", "4"]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
