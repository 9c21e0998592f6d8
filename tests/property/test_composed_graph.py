"""The composed graph against loops over a dict: any mix of features, sides, tables, pools, batch shapes.

The dense part here is a weighted sum of everything it is fed with, so a value in the wrong place changes the logit.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from martlet.feature_encoding import MASK_SUFFIX, feed, list_mask, signature_of
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec, Side
from martlet.keys import space_salt, wrap_int64
from martlet.learn import Product, WeightedSum
from martlet.learn.heads import IDENTITY, SIGMOID, SOFTMAX, Head, TaskHead
from martlet.signature import LOGIT, SCORE
from trainer_svc.export.compose import TableSpec, compose, materialise
from trainer_svc.table import EmbeddingTable

Arrays = dict[str, npt.NDArray[Any]]
SPACES = ("a", "b")
IDS = st.one_of(st.integers(0, 6), st.sampled_from([-1, (1 << 63) - 1, -(1 << 63), 1 << 32]))
ID_KINDS = [(FeatureKind.ID, ""), *((FeatureKind.ID_LIST, pool) for pool in ("", "sum", "mean"))]


@st.composite
def features(draw: st.DrawFn) -> tuple[Feature, ...]:
    made = []
    for number in range(draw(st.integers(1, 6))):
        side = draw(st.sampled_from(list(Side)))
        kind, pool = draw(st.sampled_from([*ID_KINDS, (FeatureKind.NUMBER, ""), (FeatureKind.VECTOR, "")]))
        if kind in (FeatureKind.NUMBER, FeatureKind.VECTOR):
            size = draw(st.integers(1, 3)) if kind is FeatureKind.VECTOR else 1
            made.append(Feature(f"f{number}", f"s{number}", kind, side, max_len=size))
            continue
        width, max_len = draw(st.sampled_from([1, 3])), draw(st.integers(1, 3)) if kind is FeatureKind.ID_LIST else 1
        space = draw(st.sampled_from(SPACES))
        made.append(Feature(f"f{number}", f"s{number}", kind, side, space, width, max_len, pool))
    return tuple(made)


@dataclass
class Stage:
    """A version with tables that hold ids 0..3 of each space; other ids are unknown."""

    spec: FeatureSpec
    tables: dict[str, EmbeddingTable]
    specs: tuple[TableSpec, ...]
    weights: Arrays

    @classmethod
    def of(cls, made: tuple[Feature, ...], seed: int) -> "Stage":
        rng = np.random.default_rng(seed)
        spec = FeatureSpec(made, {space: space_salt(space) for space in SPACES})
        tables, specs, weights = {}, [], {}
        for width in sorted({feature.width for feature in made} - {0}):
            names = tuple(feature.name for feature in made if feature.width == width)
            table = EmbeddingTable(f"t{width}", width, 5, 1 + len(names))
            table.rows[table.slots + 1 :] = rng.normal(size=(len(names), width))
            keys = [wrap_int64(i + spec.salts[space]) for space in SPACES for i in range(4)]
            spaces = np.repeat(np.arange(2, dtype=np.uint16), 4)
            rows = table.upsert(np.array(keys), spaces, np.ones(8, np.int64), 1)
            table.rows[rows] = rng.normal(size=(8, width))
            tables[table.name] = table
            specs.append(TableSpec(table.name, width, table.buckets, names))
        for name, shape in dense_shapes(spec).items():
            weights[f"w.{name}"] = rng.normal(size=shape).astype(np.float32)
        return cls(spec, tables, tuple(specs), weights)

    def arrays(self) -> Arrays:
        arrays = dict(self.weights)
        for name, table in self.tables.items():
            arrays[f"{name}.directory"] = np.arange(table.buckets, dtype=np.int32)
            arrays[f"{name}.keys"], arrays[f"{name}.rows"] = table.keys, table.rows
            arrays[f"{name}.special"] = table.slots + np.arange(table.specials)
        return arrays

    def row(self, feature: Feature, value: int) -> npt.NDArray[np.float64]:
        table = self.tables[f"t{feature.width}"]
        names = next(spec.features for spec in self.specs if spec.name == table.name)
        found = int(table.find(np.array([wrap_int64(value + self.spec.salts[feature.space])]))[0])
        row = found if found >= 0 else table.slots + 1 + names.index(feature.name)
        return np.asarray(table.rows[row], np.float64)

    def logit(self, block: FeatureBlock, item_row: int) -> float:
        return sum(self._term(feature, block, item_row) for feature in self.spec.features)

    def _term(self, feature: Feature, block: FeatureBlock, item_row: int) -> float:
        row = item_row if feature.side is Side.ITEM else int(block.row_of_user[item_row])
        ids, numbers = (
            (block.item_ids, block.item_numbers) if feature.side is Side.ITEM else (block.user_ids, block.user_numbers)
        )
        column, weight = self.spec.layout.first_column[feature.name], self.weights[f"w.{feature.name}"]
        if not feature.is_id:
            return float((numbers[row, column : column + feature.max_len] * weight).sum())
        if feature.kind is FeatureKind.ID:
            return float((self.row(feature, int(ids[row, column])) * weight).sum())
        count = int(ids[row, column])
        rows = np.zeros((feature.max_len, feature.width))
        for place in range(count):
            rows[place] = self.row(feature, int(ids[row, column + 1 + place]))
        if feature.pool:
            return float((rows.sum(0) / (max(count, 1) if feature.pool == "mean" else 1) * weight).sum())
        masks = list_mask(np.array([count]), feature.max_len)[0] * self.weights[f"w.{feature.name}{MASK_SUFFIX}"]
        return float((rows * weight).sum() + masks.sum())


def dense_shapes(spec: FeatureSpec) -> dict[str, tuple[int, ...]]:
    """What each input of the dense part has behind its batch dimension."""
    shapes: dict[str, tuple[int, ...]] = {}
    for feature in spec.features:
        if feature.kind is FeatureKind.ID_LIST and not feature.pool:
            shapes[feature.name] = feature.max_len, feature.width
            shapes[feature.name + MASK_SUFFIX] = (feature.max_len,)
        else:
            shapes[feature.name] = (feature.width if feature.is_id else feature.max_len,)
    return shapes


def dense_part(shapes: dict[str, tuple[int, ...]], opset: int = 18) -> onnx.ModelProto:
    nodes, total = [], ""
    for number, (name, shape) in enumerate(shapes.items()):
        nodes.append(helper.make_node("Mul", [name, f"w.{name}"], [f"p{number}"]))
        nodes.append(helper.make_node("Constant", [], [f"x{number}"], value_ints=list(range(1, 1 + len(shape)))))
        nodes.append(helper.make_node("ReduceSum", [f"p{number}", f"x{number}"], [f"s{number}"], keepdims=0))
        if total:
            nodes.append(helper.make_node("Add", [total, f"s{number}"], [f"a{number}"]))
        total = f"a{number}" if total else f"s{number}"
    nodes.append(helper.make_node("Identity", [total], ["answer"]))
    weights = [numpy_helper.from_array(np.zeros(shape, np.float32), f"w.{name}") for name, shape in shapes.items()]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "dense", inputs, [output], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def draw_block(spec: FeatureSpec, data: st.DataObject, r: int, n: int) -> FeatureBlock:
    layout = spec.layout
    matrices = {}
    for side, rows in ((Side.USER, r), (Side.ITEM, n)):
        columns = layout.user_id_columns if side is Side.USER else layout.item_id_columns
        ids = np.array(data.draw(st.lists(IDS, min_size=rows * columns, max_size=rows * columns)), np.int64)
        ids = ids.reshape(rows, columns)
        for feature in spec.side(side):
            if feature.kind is FeatureKind.ID_LIST:
                counts = data.draw(st.lists(st.integers(0, feature.max_len), min_size=rows, max_size=rows))
                ids[:, layout.first_column[feature.name]] = counts
        numbers = layout.user_number_columns if side is Side.USER else layout.item_number_columns
        matrices[side] = ids, np.arange(rows * numbers, dtype=np.float32).reshape(rows, numbers) + 1
    owner = data.draw(st.lists(st.integers(0, r - 1), min_size=n, max_size=n))
    (user_ids, user_numbers), (item_ids, item_numbers) = matrices[Side.USER], matrices[Side.ITEM]
    return FeatureBlock(user_ids, user_numbers, item_ids, item_numbers, np.array(owner, np.int64))


MANY = (
    Feature("u1", "u1", FeatureKind.ID, Side.USER, "a", 3),
    Feature("i1", "i1", FeatureKind.ID, Side.ITEM, "b", 3),
    Feature("u2", "u2", FeatureKind.ID, Side.USER, "b", 3),
    Feature("l1", "l1", FeatureKind.ID_LIST, Side.USER, "b", 3, 2),
    Feature("i2", "i2", FeatureKind.ID, Side.ITEM, "a", 3),
    Feature("l2", "l2", FeatureKind.ID_LIST, Side.ITEM, "a", 3, 3, "mean"),
    Feature("l3", "l3", FeatureKind.ID_LIST, Side.USER, "a", 1, 2, "sum"),
)


@given(made=st.one_of(features(), st.just(MANY)), r=st.integers(1, 3), n=st.integers(0, 4), data=st.data())
@settings(max_examples=60, deadline=None)
def test_runtime_reference_and_plain_loops_agree(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[Feature, ...], r: int, n: int, data: st.DataObject
) -> None:
    stage = Stage.of(made, seed=1)
    block = draw_block(stage.spec, data, r, n)
    model = compose(stage.spec, stage.specs, dense_part(dense_shapes(stage.spec)))
    path = materialise(model.SerializeToString(), stage.arrays(), tmp_path_factory.mktemp("plain"))
    onnx.checker.check_model(str(path), full_check=True)
    expected = np.array([stage.logit(block, row) for row in range(n)])
    inputs = feed(stage.spec, block)
    for runtime in (onnxruntime.InferenceSession(str(path)), ReferenceEvaluator(onnx.load(path))):
        with np.errstate(over="ignore"):
            score, logit = runtime.run([SCORE, LOGIT], inputs)
        np.testing.assert_allclose(np.asarray(logit), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(np.asarray(score), 1 / (1 + np.exp(-expected)), atol=1e-6)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(("kind", "pool"), ID_KINDS)
def test_no_candidates_give_no_scores(tmp_path: Path, side: Side, kind: FeatureKind, pool: str) -> None:
    """A shape that is computed has zeros then, and ONNX reads a zero in a wanted shape as "as before"."""
    stage = Stage.of((Feature("f", "s", kind, side, "a", 3, 2 if kind is FeatureKind.ID_LIST else 1, pool),), 0)
    model = compose(stage.spec, stage.specs, dense_part(dense_shapes(stage.spec)))
    path = materialise(model.SerializeToString(), stage.arrays(), tmp_path)
    layout, none = stage.spec.layout, np.zeros(0, np.int64)
    users, items = np.zeros((1, layout.user_id_columns), np.int64), np.zeros((0, layout.item_id_columns), np.int64)
    block = FeatureBlock(users, np.zeros((1, 0), np.float32), items, np.zeros((0, 0), np.float32), none)
    (logit,) = onnxruntime.InferenceSession(str(path)).run([LOGIT], feed(stage.spec, block))
    assert np.asarray(logit).shape == (0,)


ONE_OF_EACH = (
    Feature("user", "user_id", FeatureKind.ID, Side.USER, "a", 3),
    Feature("item", "item_id", FeatureKind.ID, Side.ITEM, "b", 3),
    Feature("history", "h", FeatureKind.ID_LIST, Side.USER, "b", 3, 2),
    Feature("price", "item.price", FeatureKind.NUMBER, Side.ITEM),
)


def test_the_signature_is_that_of_the_spec() -> None:
    stage = Stage.of(ONE_OF_EACH, 0)
    graph = compose(
        stage.spec, stage.specs, dense_part(dense_shapes(stage.spec)), Head((TaskHead("", 0, 1, "identity"),))
    ).graph
    signature = signature_of(stage.spec)
    assert [value.name for value in graph.input] == [tensor.name for tensor in signature.inputs]
    assert [value.name for value in graph.output] == [tensor.name for tensor in signature.outputs]
    external = {tensor.name for tensor in graph.initializer if tensor.data_location == TensorProto.EXTERNAL}
    assert external == set(stage.arrays())


def test_padding_is_the_zero_row_even_beside_rows_that_are_not_finite(tmp_path: Path) -> None:
    """A product with a mask of zeros would give NaN."""
    stage = Stage.of(ONE_OF_EACH, 0)
    table = stage.tables["t3"]
    table.rows[table.slots + 3] = np.inf  # the default row of the list: what stands in the padding is unknown
    model = compose(stage.spec, stage.specs, dense_part(dense_shapes(stage.spec)))
    path = materialise(model.SerializeToString(), stage.arrays(), tmp_path)
    block = FeatureBlock(
        np.array([[0, 1, 2, 77]]), np.zeros((1, 0), np.float32), np.array([[1]]), np.ones((1, 1), np.float32),
        np.zeros(1, np.int64),
    )  # fmt: skip
    logit = onnxruntime.InferenceSession(str(path)).run([LOGIT], feed(stage.spec, block))[0]
    np.testing.assert_allclose(logit, [stage.logit(block, 0)], rtol=1e-5)


def test_equal_parts_give_equal_bytes() -> None:
    stage = Stage.of(ONE_OF_EACH, 0)
    first, second = (
        compose(stage.spec, stage.specs, dense_part(dense_shapes(stage.spec))).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second


def test_inner_names_of_the_dense_part_stand_in_nobodys_way(tmp_path: Path) -> None:
    stage = Stage.of(ONE_OF_EACH, 0)
    dense = dense_part(dense_shapes(stage.spec))
    for old, new in (("p0", "logit"), ("s0", "score"), ("p1", "lookup/1_Concat"), ("s1", "t3.rows")):
        for node in dense.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]
    blocks = FeatureBlock(
        np.array([[0, 1, 2, 0]]), np.zeros((1, 0), np.float32), np.array([[1]]), np.ones((1, 1), np.float32),
        np.zeros(1, np.int64),
    )  # fmt: skip
    path = materialise(compose(stage.spec, stage.specs, dense).SerializeToString(), stage.arrays(), tmp_path)
    onnx.checker.check_model(str(path), full_check=True)
    logit = onnxruntime.InferenceSession(str(path)).run([LOGIT], feed(stage.spec, blocks))[0]
    np.testing.assert_allclose(logit, [stage.logit(blocks, 0)], rtol=1e-5)


def test_parts_that_do_not_fit_are_refused() -> None:
    stage = Stage.of(ONE_OF_EACH, 0)
    shapes = dense_shapes(stage.spec)
    with pytest.raises(ValueError, match="opset 17"):
        compose(stage.spec, stage.specs, dense_part(shapes, opset=17))
    with pytest.raises(ValueError, match=r"dense part's inputs \['stranger'\]"):
        compose(stage.spec, stage.specs, dense_part({**shapes, "stranger": (1,)}))
    dense = dense_part(shapes)
    dense.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "t3.rows"))
    with pytest.raises(ValueError, match=r"two things in one graph: t3\.rows"):
        compose(stage.spec, stage.specs, dense)


@st.composite
def heads(draw: st.DrawFn) -> Head:
    """Tasks of every kind, fused or not; or a label that is the only one."""
    kinds = [(SIGMOID, 1), (IDENTITY, 1), (SOFTMAX, 2), (SOFTMAX, 4)]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    named = len(chosen) > 1 or draw(st.booleans())
    tasks: list[TaskHead] = []
    for number, (link, columns) in enumerate(chosen):
        tasks.append(TaskHead(f"k{number}" if named else "", sum(task.columns for task in tasks), columns, link))
    weights = st.floats(-2, 2, width=32)
    sums = st.dictionaries(st.sampled_from([task.name for task in tasks]), weights, min_size=1).map(WeightedSum)
    positive = [task.name for task in tasks if task.link != IDENTITY]
    choices = [st.none()] + [sums] * named
    if named and positive:
        powers = st.dictionaries(st.sampled_from(positive), st.floats(0, 2, width=32), min_size=1)
        choices.append(powers.map(Product))
    return Head(tuple(tasks), draw(st.one_of(choices)))


@given(heads(), st.integers(0, 5), st.integers(0, 2**32))
@settings(deadline=None, max_examples=60)
def test_a_head_serves_what_it_says(head: Head, n: int, seed: int) -> None:
    """Here the dense part gives its input back: the logits are known."""
    spec = FeatureSpec((Feature("v", "v", FeatureKind.VECTOR, Side.ITEM, max_len=head.columns),), {})
    shape = ["n"] if head.columns == 1 else ["n", head.columns]
    flat = helper.make_node("Reshape", ["v", "flat"], ["answer"])
    node = flat if head.columns == 1 else helper.make_node("Identity", ["v"], ["answer"])
    minus_one = helper.make_node("Constant", [], ["flat"], value_ints=[-1])
    dense = helper.make_model(
        helper.make_graph(
            [minus_one, node],
            "dense",
            [helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n", head.columns])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, shape)],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    graph = compose(spec, (), dense, head)
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    logits = np.random.default_rng(seed).normal(0, 5, (n, head.columns)).astype(np.float32)
    names = [output.name for output in signature_of(spec, head.more).outputs]
    assert [output.name for output in session.get_outputs()] == names
    found = dict(zip(names, session.run(names, {"v": logits, "row_of_user": np.zeros(n, np.int64)}), strict=True))
    for name, wanted in head.outputs(logits).items():
        np.testing.assert_allclose(np.asarray(found[name]), wanted, rtol=2e-5, atol=2e-6, err_msg=name)
