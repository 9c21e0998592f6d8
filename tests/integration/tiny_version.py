"""A real, small version made by hand: a lookup graph like the exporter's, and a table that learns by assignment.

logit = (user row + sum of history rows) · item row + price * price.weight + hour * hour.weight + bias
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from martlet.artifacts import FolderStore
from martlet.feature_encoding import feed, signature_of
from martlet.feature_spec import FeatureBlock
from martlet.keys import wrap_int64
from martlet.manifest import (
    BlobRef,
    Learned,
    Lineage,
    Manifest,
    Provenance,
    TableManifest,
    VersionKind,
    encode_manifest,
    manifest_digest,
)
from martlet.table_blobs import TableBase, TableDelta, encode_base, encode_delta, encode_dense
from martlet.table_layout import C1, C2, C3, SHIFT1, SHIFT2, buckets_of, empty_keys
from tests.unit.core.samples import SPEC
from trainer_svc.export.compose import TableSpec, compose

WIDTH, TABLE, MODEL = 4, "t4", "shop"
ID_FEATURES = ("user", "item", "history")
SPACES = {"user": "user", "item": "item", "history": "item"}
Floats = npt.NDArray[np.float32]


@dataclass
class TinyTrainer:
    """Holds rows by key; `publish` writes a snapshot first and deltas after it."""

    store: FolderStore
    buckets: int = 64
    composed: bool = False
    weights: dict[str, Floats] = field(
        default_factory=lambda: {
            "price.weight": np.array([0.5], np.float32),
            "hour.weight": np.array([0.1], np.float32),
            "bias": np.array([-0.25], np.float32),
        }
    )

    def __post_init__(self) -> None:
        random = np.random.default_rng(1)
        self.marks = empty_keys(self.buckets)
        self.keys = np.repeat(self.marks[:, None], 4, axis=1)
        self.rows = np.zeros((self.buckets, 4, WIDTH), np.float32)
        self.special = np.concatenate([np.zeros((1, WIDTH)), random.normal(size=(3, WIDTH))]).astype(np.float32)
        self.touched: set[int] = set()
        self.base: BlobRef | None = None
        self.deltas: list[BlobRef] = []
        self.parent = ""
        self.sequence = 0
        model = composed_model(self.buckets) if self.composed else lookup_model(self.buckets)
        self.graph = self.store.put(model.SerializeToString())

    def learn(self, space: str, value: int, row: list[float]) -> None:
        """Gives an id its row."""
        key = wrap_int64(value + SPEC.salts[space])
        first, second = (int(buckets[0]) for buckets in buckets_of(np.array([key], np.int64), self.buckets))
        places = [(bucket, slot) for bucket in (first, second) for slot in range(4)]
        known = [place for place in places if self.keys[place] == key]
        free = [(bucket, slot) for bucket, slot in places if self.keys[bucket, slot] == self.marks[bucket]]
        place = (known or free)[0]
        self.keys[place], self.rows[place] = key, row
        self.touched.add(place[0])

    def publish(self) -> str:
        """Puts a version into the store; gives its digest."""
        kind = VersionKind.DELTA if self.base else VersionKind.SNAPSHOT
        if self.base is None:
            self.base = self.store.put(encode_base(TableBase(self.keys, self.rows, self.special)))
        else:
            self.deltas.append(self.store.put(encode_delta(self._delta())))
        self.touched.clear()
        encoded = encode_manifest(self.manifest(kind, self.store.put(encode_dense(self.weights))))
        self.parent = self.store.put_manifest(encoded)
        assert self.parent == manifest_digest(encoded)
        return self.parent

    def manifest(self, kind: VersionKind, dense: BlobRef) -> Manifest:
        """The manifest of the next version."""
        assert self.base is not None
        self.sequence += 1
        return Manifest(
            model=MODEL,
            kind=kind,
            lineage=Lineage("tiny", self.parent, 1, self.sequence),
            learned=Learned({}, self.sequence, 0, 0),
            graph=self.graph,
            dense=dense,
            tables=(TableManifest(TABLE, WIDTH, self.buckets, "float32", self.base, tuple(self.deltas)),),
            signature=signature_of(SPEC),
            feature_spec=SPEC,
            provenance=Provenance("0.1.0", "tiny", ""),
        )

    def logits(self, block: FeatureBlock) -> Floats:
        """The reference, by dictionaries and loops."""
        inputs = feed(SPEC, block)
        history = self._rows("history", inputs["history"]) * inputs["history_mask"].astype(np.float32)[..., None]
        users = self._rows("user", inputs["user"]) + history.sum(axis=1)
        of_user = inputs["row_of_user"].astype(np.int64)
        pairs = (users[of_user] * self._rows("item", inputs["item"])).sum(axis=1)
        price, hour = (np.nan_to_num(inputs[name].astype(np.float32)[:, 0]) for name in ("price", "hour"))
        logits = pairs + price * self.weights["price.weight"] + hour[of_user] * self.weights["hour.weight"]
        return np.asarray(logits + self.weights["bias"], np.float32)

    def _rows(self, feature: str, ids: npt.NDArray[np.generic]) -> Floats:
        known = {int(key): row for key, row in zip(self.keys.reshape(-1), self.rows.reshape(-1, WIDTH), strict=True)}
        default = self.special[1 + ID_FEATURES.index(feature)]
        salt = SPEC.salts[SPACES[feature]]
        found = [known.get(wrap_int64(int(value) + salt), default) for value in ids.reshape(-1)]
        return np.array(found, np.float32).reshape(*ids.shape, WIDTH)

    def _delta(self) -> TableDelta:
        numbers = np.array(sorted(self.touched), np.int32)
        previous = (self.deltas[-1] if self.deltas else self.base) or BlobRef("", 0)
        return TableDelta.of_buckets(
            len(self.deltas) + 1, previous.digest, numbers, self.keys[numbers], self.rows[numbers], self.special
        )


class _Graph:
    """Nodes and constants under fresh names."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def int64(self, value: int | list[int]) -> str:
        return self.constant(np.array(value, np.int64))

    def uint64(self, value: int) -> str:
        return self.constant(np.array(value, np.uint64))

    def do(self, kind: str, *inputs: str, outputs: int = 1, name: str = "", **attributes: Any) -> str:
        names = [name] if name else [f"v{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0]


def lookup_model(buckets: int) -> ModelProto:
    """The graph; tables and dense weights are external."""
    g = _Graph()
    flat = {name: g.do("Reshape", name, g.int64([-1])) for name in ID_FEATURES}
    salted = [g.do("Add", flat[name], g.int64(SPEC.salts[SPACES[name]])) for name in ID_FEATURES]
    sizes = g.do("Concat", *[g.do("Shape", flat[name]) for name in ID_FEATURES], axis=0)
    keys = g.do("Concat", *salted, axis=0)
    found_row, found = _lookup(g, keys, buckets)
    defaults = g.do("Concat", *[_default(g, i, flat[name]) for i, name in enumerate(ID_FEATURES)], axis=0)
    rows = g.do("Gather", f"{TABLE}.rows", g.do("Where", found, found_row, defaults), axis=0)
    g.nodes.append(helper.make_node("Split", [rows, sizes], ["user_e", "item_e", "history_flat"], axis=0))
    _dense(g)
    external = [
        _external(f"{TABLE}.directory", TensorProto.INT32, [buckets]),
        _external(f"{TABLE}.keys", TensorProto.INT64, [buckets, 4]),
        _external(f"{TABLE}.rows", TensorProto.FLOAT, [buckets * 4 + 4, WIDTH]),
        _external(f"{TABLE}.special", TensorProto.INT64, [4]),
        *[_external(name, TensorProto.FLOAT, [1]) for name in ("price.weight", "hour.weight", "bias")],
    ]
    kinds = {"int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
    signature = signature_of(SPEC)
    inputs, outputs = (
        [helper.make_tensor_value_info(spec.name, kinds[spec.dtype], spec.dims) for spec in specs]
        for specs in (signature.inputs, signature.outputs)
    )
    graph = helper.make_graph(g.nodes, "tiny", inputs, outputs, [*g.constants, *external])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def composed_model(buckets: int) -> ModelProto:
    """The same, with the lookups that the exporter makes around a dense part."""
    g = _Graph()
    g.nodes.append(helper.make_node("Constant", [], ["zero"], name="zero", value_float=0.0))
    pairs = g.do("Mul", g.do("Add", "user", g.do("ReduceSum", "history", g.int64([1]), keepdims=0)), "item")
    flat = {name: g.do("Reshape", name, g.int64([-1])) for name in ("price", "hour")}
    price, hour = (g.do("Where", g.do("IsNaN", flat[name]), "zero", flat[name]) for name in ("price", "hour"))
    numbers = g.do("Add", g.do("Mul", price, "price.weight"), g.do("Mul", hour, "hour.weight"))
    dot = g.do("ReduceSum", pairs, g.int64([1]), keepdims=0)
    g.do("Add", g.do("Add", dot, numbers), "bias", name="logit")
    shapes: dict[str, list[str | int]] = {
        **{name: ["n", WIDTH] for name in ("user", "item")},
        "history": ["n", 3, WIDTH],
        "history_mask": ["n", 3],
        **{name: ["n", 1] for name in ("price", "hour")},
    }
    weights = [
        numpy_helper.from_array(np.zeros(1, np.float32), name) for name in ("price.weight", "hour.weight", "bias")
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in shapes.items()]
    output = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(g.nodes, "dense", inputs, [output], [*g.constants, *weights])
    dense = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return compose(SPEC, (TableSpec(TABLE, WIDTH, buckets, ID_FEATURES),), dense)


def _lookup(g: _Graph, keys: str, buckets: int) -> tuple[str, str]:
    """The physical row of each key, and whether there is one."""
    h = g.do("Mul", g.do("Cast", keys, to=TensorProto.UINT64), g.uint64(C1))
    for shift, factor in ((SHIFT1, C2), (SHIFT2, C3)):
        shifted = g.do("BitShift", h, g.uint64(shift), direction="RIGHT")
        h = g.do("Mul", g.do("BitwiseXor", h, shifted), g.uint64(factor))
    high = g.do("BitShift", h, g.uint64(32), direction="RIGHT")
    low = g.do("BitwiseAnd", h, g.uint64(0xFFFFFFFF))
    first, second = (
        g.do("Cast", g.do("BitShift", g.do("Mul", half, g.uint64(n)), g.uint64(32), direction="RIGHT"), to=7)
        for half, n in ((high, buckets), (low, buckets - 1))
    )
    second = g.do("Add", second, g.do("Cast", g.do("GreaterOrEqual", second, first), to=TensorProto.INT64))
    places = [g.do("Cast", g.do("Gather", f"{TABLE}.directory", b, axis=0), to=7) for b in (first, second)]
    pair = g.do("Concat", *[g.do("Unsqueeze", place, g.int64([1])) for place in places], axis=1)
    held = g.do("Reshape", g.do("Gather", f"{TABLE}.keys", pair, axis=0), g.int64([-1, 8]))
    equal = g.do("Cast", g.do("Equal", held, g.do("Unsqueeze", keys, g.int64([1]))), to=TensorProto.FLOAT)
    ranks = g.constant(np.arange(1, 9, dtype=np.float32)[:, None])
    code = g.do("Cast", g.do("Reshape", g.do("MatMul", equal, ranks), g.int64([-1])), to=TensorProto.INT64)
    slot = g.do("Sub", code, g.int64(1))
    in_first = g.do("Less", slot, g.int64(4))
    row_first = g.do("Add", g.do("Mul", places[0], g.int64(4)), slot)
    row_second = g.do("Add", g.do("Mul", places[1], g.int64(4)), g.do("Sub", slot, g.int64(4)))
    return g.do("Where", in_first, row_first, row_second), g.do("Greater", code, g.int64(0))


def _default(g: _Graph, position: int, flat: str) -> str:
    row = g.do("Gather", f"{TABLE}.special", g.int64(1 + position), axis=0)
    return g.do("Expand", row, g.do("Shape", flat))


def _dense(g: _Graph) -> None:
    history = g.do("Reshape", "history_flat", g.int64([-1, 3, WIDTH]))
    masked = g.do("Mul", history, g.do("Unsqueeze", "history_mask", g.int64([2])))
    users = g.do("Add", "user_e", g.do("ReduceSum", masked, g.int64([1]), keepdims=0))
    pairs = g.do("Mul", g.do("Gather", users, "row_of_user", axis=0), "item_e")
    dot = g.do("ReduceSum", pairs, g.int64([1]), keepdims=0)
    hour = g.do("Gather", _number(g, "hour"), "row_of_user", axis=0)
    numbers = g.do(
        "Add", g.do("Mul", _number(g, "price"), "price.weight"), g.do("Add", g.do("Mul", hour, "hour.weight"), "bias")
    )
    g.do("Add", dot, numbers, name="logit")
    g.do("Sigmoid", "logit", name="score")


def _number(g: _Graph, name: str) -> str:
    flat = g.do("Reshape", name, g.int64([-1]))
    return g.do("Where", g.do("IsNaN", flat), g.constant(np.array(0, np.float32)), flat)


def _external(name: str, dtype: int, dims: list[int]) -> TensorProto:
    tensor = TensorProto(name=name, data_type=dtype, dims=dims, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=f"{name}.bin")
    return tensor
