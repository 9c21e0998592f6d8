"""A bucket, in the few calls that a store makes, and their faults in the domain's words.

The only module that knows the S3 client. It is imported where S3 is configured, and nowhere else. Credentials come from
where the client finds them (environment, profile, the role of the machine); they are no settings, and never told.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from martlet.errors import NotFound, Unavailable

CONNECT_SECONDS: Final = 3
READ_SECONDS: Final = 30
TRIES: Final = 4
CONNECTIONS: Final = 16
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_NO_UPLOAD: Final = frozenset({"404", "NoSuchUpload", "NoSuchKey", "InvalidPart"})
_PRESENT: Final = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
_IF_ABSENT: Final = "*"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket is.

    Attributes:
        bucket: its name; it must exist.
        endpoint: URL of a server that speaks S3; empty: AWS.
        region: empty: as the environment says.
    """

    bucket: str
    endpoint: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an upload that the store has: its number from 1, its size, and the store's tag for it."""

    number: int
    size: int
    tag: str


class UploadGone(Exception):
    """There is no such upload any more, or not with these parts: it was completed, or given up."""


class Bucket:
    """Thread-safe; every call blocks, and is tried a few times.

    Every call raises Unavailable when the store does not answer, or refuses.
    """

    def __init__(self, place: Place) -> None:
        self._bucket = place.bucket
        options = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=CONNECTIONS,
            # What is sent bears an MD5 of its own; what comes back is verified by its digest.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        self._client: Any = boto3.session.Session().client(
            "s3", endpoint_url=place.endpoint or None, region_name=place.region or None, config=options
        )

    def size(self, key: str) -> int | None:
        """Bytes of an object; None: there is none."""
        try:
            with _told("tell of", key):
                return int(self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"])
        except NotFound:
            return None

    def read(self, key: str, first: int | None = None, last: int | None = None) -> bytes:
        """An object, or its bytes from `first` to `last`.

        Raises:
            NotFound: there is none.
        """
        part = {} if first is None else {"Range": f"bytes={first}-{last}"}
        with _told("give", key):
            return bytes(self._client.get_object(Bucket=self._bucket, Key=key, **part)["Body"].read())

    def create(self, key: str, data: bytes | memoryview) -> bool:
        """Stores an object unless there is one. False: there is, and it stays."""
        try:
            with _told("take", key):
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    **_sent(data),
                    IfNoneMatch=_IF_ABSENT,
                )
        except _Present:
            return False
        return True

    def replace(self, key: str, data: bytes | memoryview) -> None:
        """Stores an object in the place of the one that may be there."""
        with _told("take", key):
            self._client.put_object(Bucket=self._bucket, Key=key, **_sent(data))

    def delete(self, key: str) -> None:
        """Removes an object; that there is none does no harm."""
        with _told("remove", key):
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def uploads(self, key: str) -> list[str]:
        """The uploads of an object that are under way, oldest first."""
        with _told("list the uploads of", key):
            found = self._client.list_multipart_uploads(Bucket=self._bucket, Prefix=key).get("Uploads", ())
        own = [upload for upload in found if upload["Key"] == key]
        return [str(one["UploadId"]) for one in sorted(own, key=lambda one: (one["Initiated"], one["UploadId"]))]

    def begin_upload(self, key: str) -> str:
        """Begins an upload and gives its name."""
        with _told("begin an upload of", key):
            made = self._client.create_multipart_upload(Bucket=self._bucket, Key=key)
        return str(made["UploadId"])

    def parts(self, key: str, upload: str) -> list[Part]:
        """The parts that an upload has.

        Raises:
            UploadGone: there is no such upload.
        """
        with _told("list the parts of", key, upload=True):
            pages = self._client.get_paginator("list_parts").paginate(Bucket=self._bucket, Key=key, UploadId=upload)
            return [_part(part) for page in pages for part in page.get("Parts", ())]

    def put_part(self, key: str, upload: str, number: int, data: bytes | memoryview) -> None:
        """Stores a part; the store compares its MD5.

        Raises:
            UploadGone: there is no such upload.
        """
        with _told("take a part of", key, upload=True):
            self._client.upload_part(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                **_sent(data),
            )

    def complete(self, key: str, upload: str, parts: list[Part]) -> None:
        """Makes an object of an upload's parts, unless there is one already.

        Raises:
            UploadGone: there is no such upload.
        """
        named = [{"PartNumber": part.number, "ETag": part.tag} for part in parts]
        try:
            with _told("complete", key, upload=True):
                self._client.complete_multipart_upload(
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=upload,
                    MultipartUpload={"Parts": named},
                    IfNoneMatch=_IF_ABSENT,
                )
        except _Present:
            self.abandon(key, upload)

    def abandon(self, key: str, upload: str) -> None:
        """Gives an upload up, and what was stored of it."""
        try:
            with _told("give up an upload of", key, upload=True):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
        except UploadGone:
            return


class _Present(Exception):
    """There is an object of that name."""


@contextmanager
def _told(doing: str, key: str, *, upload: bool = False) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if upload and code in _NO_UPLOAD:
            raise UploadGone(key) from None
        if code in _ABSENT:
            raise NotFound(f"no object {key}") from None
        if code in _PRESENT:
            raise _Present(key) from None
        raise Unavailable(f"the artifact store refused to {doing} {key}: {code}") from error
    except BotoCoreError as error:  # its text may tell the endpoint, never a secret
        raise Unavailable(f"the artifact store does not {doing} {key}: {type(error).__name__}") from error


def _sent(data: bytes | memoryview) -> dict[str, Any]:
    """The body, and what the store checks it by: of all checksums MD5 alone is known to every store that speaks S3."""
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return {"Body": bytes(data), "ContentMD5": base64.b64encode(md5).decode()}


def _part(told: Mapping[str, Any]) -> Part:
    return Part(int(told["PartNumber"]), int(told["Size"]), str(told["ETag"]))
