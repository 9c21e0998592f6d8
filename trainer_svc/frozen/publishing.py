"""A frozen model becomes a version: blobs, a manifest, and an offer to the registry."""

import hashlib
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import onnx
import onnxruntime as ort

from martlet import __version__
from martlet.artifacts import ArtifactStore
from martlet.errors import InvalidInput
from martlet.feature_encoding import feed, signature_of
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.manifest import Learned, Lineage, Manifest, Provenance, VersionKind, canonical_json, encode_manifest
from martlet.signature import SCORE, Signature
from martlet.table_blobs import encode_dense
from martlet.versions import LineageState, VersionRecord
from trainer_svc.frozen.graph_check import open_graph, read_graph, signature_of_graph
from trainer_svc.frozen.named_inputs import NamedInputs
from trainer_svc.frozen.wrapping import wrapped
from trainer_svc.made_up import made_up_block, one_row

LINEAGE: Final = "frozen"
_ROWS: Final = 7
_NEAR: Final = 1e-4
_HALF: Final = 0.5


class RegistryPort(Protocol):
    """What publishing asks of the registry."""

    def lineage(self, model: str) -> LineageState:
        """Where the model's lineage stands."""
        ...

    def publish(self, manifest: bytes) -> VersionRecord:
        """Offers a version."""
        ...


@dataclass(frozen=True, slots=True)
class FrozenGraph:
    """A graph that may be served, with its signature; without named inputs the spec has no features."""

    data: bytes
    signature: Signature
    spec: FeatureSpec


def frozen_graph(data: bytes, named: NamedInputs | None) -> FrozenGraph:
    """Checks a model and, with named inputs, wraps it. Opens it once, as serving will.

    Raises:
        InvalidInput: it cannot be served; says why.
    """
    model = read_graph(data)
    if named is None:
        signature, spec = signature_of_graph(model), FeatureSpec((), {})
    else:
        model = wrapped(model, named)
        signature, spec = signature_of(named.spec), named.spec
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker has several classes of its own
        raise InvalidInput(f"the graph is not valid: {str(error).strip().splitlines()[0]}") from error
    written = model.SerializeToString(deterministic=True)
    session = open_graph(written)
    if named is not None:
        _check_rows(spec, session, is_probability=named.score.kind == "probability")
    return FrozenGraph(written, signature, spec)


def offer(graph: FrozenGraph, model: str, store: ArtifactStore, registry: RegistryPort) -> VersionRecord:
    """Stores the blobs and offers the version; a refused one comes back with state REJECTED.

    Its parent is the model's head as it stands. It begins a lineage of its own, so that where quality decides it takes
    the structural road: shadow, canary, promotion.

    Raises:
        Conflict: another version was faster, or the model takes none now.
        Unavailable: the registry does not answer.
    """
    state = registry.lineage(model)
    name = hashlib.sha256(graph.data + canonical_json(graph.spec)).hexdigest()[:16]
    manifest = Manifest(
        model=model,
        kind=VersionKind.SNAPSHOT,
        lineage=Lineage(f"{LINEAGE}-{name}", state.head_digest, state.epoch, 1),
        learned=Learned({}, 0, 0, 0),
        graph=store.put(graph.data),
        dense=store.put(encode_dense({})),
        tables=(),
        signature=graph.signature,
        feature_spec=graph.spec,
        provenance=Provenance(__version__, LINEAGE, name),
    )
    encoded = encode_manifest(manifest)
    store.put_manifest(encoded)
    return registry.publish(encoded)


def _check_rows(spec: FeatureSpec, session: ort.InferenceSession, *, is_probability: bool) -> None:
    """Requests are answered together, so a row's score must not hang on its neighbours."""
    block = made_up_block(spec, np.random.default_rng(0), _ROWS, _ROWS)
    small = FeatureBlock(
        block.user_ids % _ROWS,
        np.nan_to_num(block.user_numbers),
        block.item_ids % _ROWS,
        np.nan_to_num(block.item_numbers),
        block.row_of_user,
    )
    run = session.run
    try:
        together = np.asarray(run([SCORE], feed(spec, small))[0])
        alone = np.concatenate([run([SCORE], feed(spec, one_row(small, row)))[0] for row in range(_ROWS)])
    except Exception as error:  # onnxruntime has a class of its own for each of its statuses
        raise InvalidInput(f"the graph fails on {_ROWS} items: {error}") from error
    if together.shape != (_ROWS,):
        raise InvalidInput(f"{_ROWS} items get scores of shape {list(together.shape)}")
    if not np.allclose(together, alone, rtol=_NEAR, atol=_NEAR, equal_nan=True):
        raise InvalidInput("an item's score hangs on the items beside it: such a graph can be asked with tensors alone")
    if is_probability and not ((together >= 0) & (together <= 1)).all():
        worst = float(together[np.argmax(np.abs(together - _HALF))])
        raise InvalidInput(f"score is said to be a probability, but is {worst:g}: write is: logit, or is: number")
