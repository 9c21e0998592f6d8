"""A sentence encoder of the BERT family, read from a folder. Needs the extra `text`."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from martlet.errors import InvalidInput, Unavailable

Floats = npt.NDArray[np.float32]
WEIGHTS: Final = "model.safetensors"
_READ: Final = ("config.json", "tokenizer.json", WEIGHTS)
_POOLING: Final = Path("1_Pooling/config.json")
_BATCH: Final = 64


class TransformerEncoder:
    """See `TextEncoder`: the mean of the last layer's vectors over the tokens of a text, of length 1.

    This is how sentence-transformers computes models such as all-MiniLM-L6-v2. Nothing is downloaded; weights are
    safetensors, never pickles, and no code of the folder runs. Texts of similar length share a batch.

    Args:
        folder: config.json, tokenizer.json, model.safetensors, as the model's own repository has them.
        max_tokens: what is longer is cut.

    Raises:
        InvalidInput: a file is missing, or the model pools otherwise.
        Unavailable: the extra is not installed.
    """

    def __init__(self, folder: Path, max_tokens: int = 128) -> None:
        _check(folder)
        try:
            from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415  an extra: most never need it
        except ImportError as error:
            raise Unavailable("texts are encoded by transformers: pip install 'martlet[text]'") from error
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model: Any = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        ).eval()
        self._max_tokens = max_tokens
        self.width = int(self._model.config.hidden_size)
        self.digest = _digest(folder, max_tokens)

    def encode(self, texts: Sequence[str]) -> Floats:
        """A vector for each text."""
        vectors = np.empty((len(texts), self.width), np.float32)
        by_length = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(texts), _BATCH):
            places = by_length[start : start + _BATCH]
            vectors[places] = self._encoded([texts[place] for place in places])
        return vectors

    def _encoded(self, texts: list[str]) -> Floats:
        tokens = self._tokenizer(texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt")
        with torch.inference_mode():
            last = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][:, :, None].to(last.dtype)
            mean = (last * mask).sum(1) / mask.sum(1).clamp(min=1.0)
            return np.asarray(torch.nn.functional.normalize(mean, dim=1).numpy(), np.float32)


def _check(folder: Path) -> None:
    missing = [name for name in _READ if not (folder / name).is_file()]
    if missing:
        raise InvalidInput(f"{folder} is no folder of an encoder: there is no {', '.join(missing)}")
    pooling = folder / _POOLING
    if pooling.exists() and not json.loads(pooling.read_text()).get("pooling_mode_mean_tokens", False):
        raise InvalidInput(f"the encoder in {folder} does not take the mean over tokens, and no other way is built in")


def _digest(folder: Path, max_tokens: int) -> str:
    """SHA-256 of the files that are read and of the settings."""
    whole = hashlib.sha256(f"mean, length 1, {max_tokens} tokens".encode())
    for name in _READ:
        with (folder / name).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
