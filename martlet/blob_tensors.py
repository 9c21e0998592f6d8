"""Blobs of tensors: safetensors with one free text, `martlet`, that says the kind of the blob, its format and more."""

import json
from collections.abc import Collection, Mapping
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from martlet.errors import Corrupt

METADATA_KEY: Final = "martlet"

T = TypeVar("T", bound=np.generic)
Tensors = dict[str, npt.NDArray[np.generic]]


def encode_tensors(
    tensors: Mapping[str, npt.NDArray[np.generic]], kind: str, number: int, texts: Mapping[str, str] | None = None
) -> bytes:
    """A blob of this kind and format.

    Equal content must give equal bytes, and safetensors writes its free texts in random order: so there is one.
    """
    header = json.dumps({"format": str(number), "kind": kind, **(texts or {})}, sort_keys=True)
    # Not ascontiguousarray: that would give a number without dimensions one.
    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return save(contiguous, metadata={METADATA_KEY: header})


def decode_tensors(data: bytes) -> Tensors:
    """All tensors of a blob.

    Raises:
        Corrupt: not safetensors.
    """
    try:
        return dict(load(data))
    except Exception as error:  # safetensors raises a Rust exception class of its own
        raise Corrupt(f"not a safetensors blob: {error}") from error


def expect_kind(data: bytes, kind: str, formats: Collection[int]) -> dict[str, str]:
    """The blob's texts, its format among them.

    Raises:
        Corrupt: another kind, or a format that is not known here.
    """
    metadata = _metadata(data)
    if metadata.get("kind") != kind or metadata.get("format") not in {str(number) for number in formats}:
        known = " or ".join(str(number) for number in sorted(formats))
        raise Corrupt(f"expected a {kind} blob of format {known}, found {metadata or 'no metadata'}")
    return metadata


def tensor(
    tensors: Mapping[str, npt.NDArray[np.generic]], name: str, dtype: type[T], shape: tuple[int | None, ...]
) -> npt.NDArray[T]:
    """One tensor, of this dtype and shape (None: any length).

    Raises:
        Corrupt: absent, or another.
    """
    return tensor_of(tensors, name, [np.dtype(dtype).name], shape).view(dtype)


def tensor_of(
    tensors: Mapping[str, npt.NDArray[np.generic]], name: str, dtypes: Collection[str], shape: tuple[int | None, ...]
) -> npt.NDArray[np.generic]:
    """One tensor, of one of these dtypes and this shape (None: any length).

    Raises:
        Corrupt: absent, or another.
    """
    array = tensors.get(name)
    if array is None:
        raise Corrupt(f"the blob has no tensor {name!r}")
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape, strict=True))
    if array.dtype.name not in dtypes or not fits:
        wanted = f"{' or '.join(dtypes)}{list(shape)}"
        raise Corrupt(f"tensor {name!r} is {array.dtype}{list(array.shape)}, expected {wanted}")
    return array


def _metadata(data: bytes) -> dict[str, str]:
    """Our texts in the header: an 8-byte little-endian length, then JSON."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        metadata = json.loads(header.get("__metadata__", {}).get(METADATA_KEY, "{}"))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise Corrupt(f"not a safetensors blob: {error}") from error
    return {str(name): str(text) for name, text in metadata.items()} if isinstance(metadata, dict) else {}
