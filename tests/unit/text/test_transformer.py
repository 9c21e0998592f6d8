"""The encoder reads a folder, offline: here one of random weights, so that nothing but the extra need be at hand."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from martlet.errors import InvalidInput
from trainer_svc.text.transformer import TransformerEncoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "jam", "set", "red", "bag"]


def made_up(folder: Path) -> Path:
    transformers = importlib.import_module("transformers")
    tokenizers = importlib.import_module("tokenizers")
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(config).save_pretrained(folder, safe_serialization=True)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(dict(zip(WORDS, range(8), strict=True)), "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    return folder


def test_a_text_has_one_vector_whatever_stands_beside_it(tmp_path: Path) -> None:
    encoder = TransformerEncoder(made_up(tmp_path))
    texts = ["jam set", "red bag red bag jam", "", "set"]
    vectors = encoder.encode(texts)
    assert vectors.shape == (4, encoder.width) == (4, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_allclose(encoder.encode([text])[0], vector, atol=1e-5)  # padding has no say
    assert encoder.encode([]).shape == (0, 16)


def test_other_weights_or_settings_have_another_digest(tmp_path: Path) -> None:
    one, two = made_up(tmp_path / "one"), made_up(tmp_path / "two")
    digests = {TransformerEncoder(one).digest, TransformerEncoder(two).digest, TransformerEncoder(one, 16).digest}
    assert len(digests) == 3
    assert TransformerEncoder(one).digest in digests


def test_a_folder_that_cannot_be_read_as_it_is_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no config\.json"):
        TransformerEncoder(tmp_path)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": False}))
    with pytest.raises(InvalidInput, match="mean over tokens"):
        TransformerEncoder(tmp_path)
