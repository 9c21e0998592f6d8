"""`python -m tests.servers.stream_snapshot URL FOLDER`: snapshots of all streams of a NATS server.

As `nats stream backup` makes them (JetStream's requests STREAM.SNAPSHOT and STREAM.RESTORE), where there is no such
program.
"""

import asyncio
import json
import sys
from pathlib import Path

import nats
from nats.aio.client import Client

CHUNK = 128 << 10


async def snapshot(url: str, folder: Path) -> None:
    """Writes FOLDER/<stream>.json and FOLDER/<stream>.tar for each stream."""
    client = await nats.connect(url)
    names = json.loads((await client.request("$JS.API.STREAM.NAMES", b"{}")).data)["streams"] or []
    for name in names:
        inbox = client.new_inbox()
        chunks = await client.subscribe(inbox)
        request = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK}
        answer = json.loads(
            (await client.request(f"$JS.API.STREAM.SNAPSHOT.{name}", json.dumps(request).encode())).data
        )
        (folder / f"{name}.json").write_text(json.dumps({"config": answer["config"], "state": answer["state"]}))
        with (folder / f"{name}.tar").open("wb") as file:
            while data := (message := await chunks.next_msg(timeout=20)).data:
                file.write(data)
                if message.reply:
                    await message.respond(b"")
        await chunks.unsubscribe()
    await client.close()


async def restore(url: str, folder: Path) -> None:
    """Makes the streams again."""
    client = await nats.connect(url)
    for about in _kept(folder):
        request = await _asked(client, f"$JS.API.STREAM.RESTORE.{about.stem}", about.read_bytes())
        subject, data = request["deliver_subject"], about.with_suffix(".tar").read_bytes()
        for start in range(0, len(data), CHUNK):
            await client.request(subject, data[start : start + CHUNK], timeout=20)
        await client.request(subject, b"", timeout=20)
    await client.close()


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


async def _asked(client: Client, subject: str, payload: bytes) -> dict[str, str]:
    answer: dict[str, str] = json.loads((await client.request(subject, payload, timeout=20)).data)
    if "error" in answer:
        raise RuntimeError(answer)
    return answer


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    asyncio.run(snapshot(sys.argv[1], Path(sys.argv[2])))
