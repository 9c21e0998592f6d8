"""A server that speaks S3 (SeaweedFS), on a folder and ports of its own."""

import os
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from martlet.artifacts.s3.bucket import Bucket, Place
from tests.servers.process import ServerProcess, free_port, listens, program

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "martlet", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
BUCKET = "martlet"
REGION = "us-east-1"


class S3Server:
    """One bucket, `BUCKET`. It takes any credentials; a client wants some."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        ports = _ports_with_room(3)
        command = [
            program("weed"),
            "server",
            f"-dir={folder}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-s3",
            f"-s3.port={self.port}",
            f"-s3.port.grpc={free_port()}",
            f"-master.port={ports[0]}",
            f"-volume.port={ports[1]}",
            f"-filer.port={ports[2]}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=50",
        ]
        self._process = ServerProcess(command, folder / "log", lambda: listens(self.port) and self._has_bucket())
        self.start = self._process.start
        self.kill = self._process.kill
        self.send = self._process.send
        self.stop = self._process.kill  # in order it takes ten seconds, for nothing here

    @property
    def endpoint(self) -> str:
        """For clients."""
        return f"http://127.0.0.1:{self.port}"

    def _has_bucket(self) -> bool:
        os.environ.update(CREDENTIALS)
        quick = Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
        client = boto3.session.Session().client("s3", endpoint_url=self.endpoint, region_name=REGION, config=quick)
        try:
            client.create_bucket(Bucket=BUCKET)
        except ClientError as error:
            return error.response["Error"]["Code"] in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
        except BotoCoreError:
            return False
        return True


def bucket_of(server: S3Server) -> Bucket:
    """The server's bucket."""
    return Bucket(Place(BUCKET, server.endpoint, REGION))


def _ports_with_room(count: int) -> list[int]:
    """It takes for gRPC what lies 10,000 above each port."""
    found: list[int] = []
    while len(found) < count:
        port = free_port()
        if port < 55_000 and port not in found:
            found.append(port)
    return found
