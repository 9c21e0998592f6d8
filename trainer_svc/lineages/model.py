"""Which model a lineage learns: the one that the settings name, or as long as it is there the one it began with."""

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.eventlog.file_log import FileEventReader
from martlet.manifest import canonical_json, spec_digest
from martlet.runtime.config import Config
from martlet.runtime.learning_config import plain_learning
from trainer_svc.dense_model import DenseModel
from trainer_svc.journal import Began, read_journal
from trainer_svc.strategies.lineage_folders import LineageFolders

logger = logging.getLogger(__name__)


def load_model(config: Config) -> ml.Model:
    """The model that the settings name, as they override it.

    Raises:
        InvalidInput: they name none, or one that cannot be loaded.
    """
    if not config.trainer.model:
        raise InvalidInput("bad setting: trainer.model must name the model to learn, as package.module:NAME")
    return ml.overridden(ml.load(config.trainer.model), plain_learning(config.learning))


def live_model(config: Config, folders: LineageFolders) -> ml.Model:
    """The model of the live lineage: as long as it can be loaded the one that the lineage began with.

    So learning goes on while a changed model, which the settings name, is brought up beside it.
    """
    wanted = load_model(config)
    reader = FileEventReader(folders.path(folders.live.lineage))
    try:
        began = next((entry for entry, _ in read_journal(reader, 0)), None) if reader.partitions() else None
    finally:
        reader.close()
    if not isinstance(began, Began) or began.model_ref == config.trainer.model:
        return wanted
    try:
        before = ml.overridden(ml.load(began.model_ref), began.learning)
    except InvalidInput as error:
        logger.warning("the model that learning began with cannot be loaded any more: %s", error)
        return wanted
    own = (spec_digest(before.spec), learning_digest(before))
    return before if own == (began.spec_digest, began.learning_digest) else wanted


def same_form(one: ml.Model, other: ml.Model) -> bool:
    """Whether a model is another one under a new name: a lineage of the one goes on with the other."""

    def form(model: ml.Model) -> tuple[object, ...]:
        shapes = {name: tuple(tensor.shape) for name, tensor in DenseModel(model).tensors().items()}
        return spec_digest(model.spec), learning_digest(model), shapes

    return one is other or form(one) == form(other)


def learning_digest(model: ml.Model) -> str:
    """Names the settings of the label, the optimizers and the limits of rows: 16 hex digits."""
    limits: list[object] = [model.budgets] if model.budgets else []
    limits += [type(model.head.fusion).__name__, model.head.fusion] if model.head.fusion else []
    plain = canonical_json([_learned(ml.plain_label(model.label)), model.dense, model.rows, *limits])
    return hashlib.sha256(plain).hexdigest()[:16]


def _learned(label: Mapping[str, Any]) -> dict[str, Any]:
    """A label as plain data, without the range: judging alone knows it, so that it may change at any time."""
    kept = {name: value for name, value in label.items() if name not in ("low", "high")}
    if "labels" in kept:
        kept["labels"] = {name: _learned(one) for name, one in kept["labels"].items()}
    return kept
