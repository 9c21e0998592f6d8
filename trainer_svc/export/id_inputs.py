"""From raw ids to the rows that the dense part reads, for all id features of one table by one lookup.

Ids of one shape are looked up together: a side's single ids as [k, rows], each list as [rows, max_len]. User-side ids
are looked up once a request; what is spread over the item rows is row numbers, or pooled rows, never raw ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from martlet.feature_encoding import MASK_SUFFIX
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side
from martlet.signature import ROW_OF_USER
from trainer_svc.export.graph_builder import GraphBuilder
from trainer_svc.export.lookup_graph import add_gather, add_lookup, add_table


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of a graph: the id features of its width in order; feature i has the default row special 1 + i.

    `dtype`: what its rows are stored as; the dense part reads float32.
    """

    name: str
    width: int
    buckets: int
    features: tuple[str, ...]
    dtype: str = "float32"

    @property
    def specials(self) -> int:
        """The zero row and the default rows."""
        return 1 + len(self.features)


@dataclass(frozen=True, slots=True)
class _Group:
    """Ids of one shape: the single ids of a side, [k, rows], or one list, [rows, max_len]."""

    features: tuple[Feature, ...]
    is_list: bool

    @property
    def side(self) -> Side:
        return self.features[0].side


def add_id_inputs(graph: GraphBuilder, spec: FeatureSpec, table: TableSpec) -> dict[str, str]:
    """Declares a table and looks its features up; gives, by the dense part's input name, what to feed it with."""
    add_table(graph, table.name, table.buckets, table.width, table.specials, table.dtype)
    groups = _groups(spec, table)
    keys = [_keys(graph, spec, group) for group in groups]
    shapes = [graph.add("Shape", [part]) for part in keys]
    defaults = [
        graph.add("Expand", [_default_rows(graph, table, group), shape])
        for group, shape in zip(groups, shapes, strict=True)
    ]
    rows = add_lookup(graph, table.name, table.buckets, _flat(graph, keys), _flat(graph, defaults))
    parts = [
        graph.add("Reshape", [part, shape], allowzero=1)
        for part, shape in zip(_parts(graph, rows, shapes), shapes, strict=True)
    ]
    ready = _single_inputs(graph, table, [(g, part) for g, part in zip(groups, parts, strict=True) if not g.is_list])
    for group, part in zip(groups, parts, strict=True):
        if group.is_list:
            ready |= _list_inputs(graph, table, group.features[0], part)
    return ready


def spread(graph: GraphBuilder, side: Side, value: str, axis: int = 0) -> str:
    """User-side values, one a request, as one an item row."""
    return graph.add("Gather", [value, ROW_OF_USER], axis=axis) if side is Side.USER else value


def _groups(spec: FeatureSpec, table: TableSpec) -> list[_Group]:
    by_name = {feature.name: feature for feature in spec.features}
    features = [by_name[name] for name in table.features]
    groups: list[_Group] = []
    for side in Side:
        single = tuple(f for f in features if f.side is side and f.kind is FeatureKind.ID)
        if single:
            groups.append(_Group(single, is_list=False))
        groups += [_Group((f,), is_list=True) for f in features if f.side is side and f.kind is FeatureKind.ID_LIST]
    return groups


def _keys(graph: GraphBuilder, spec: FeatureSpec, group: _Group) -> str:
    """Salted ids in the group's shape."""
    if group.is_list:
        feature = group.features[0]
        return graph.add("Add", [feature.name, graph.constant(spec.salts[feature.space])])
    names = [feature.name for feature in group.features]
    stacked = graph.add("Reshape", [_joined(graph, names), graph.constant([len(names), -1])])
    return graph.add("Add", [stacked, graph.constant([[spec.salts[f.space]] for f in group.features])])


def _default_rows(graph: GraphBuilder, table: TableSpec, group: _Group) -> str:
    places = [[1 + table.features.index(feature.name)] for feature in group.features]
    return graph.add("Gather", [f"{table.name}.special", graph.constant(places)])


def _parts(graph: GraphBuilder, rows: str, shapes: Sequence[str]) -> list[str]:
    """The flat row numbers, cut where the groups were joined."""
    if len(shapes) == 1:
        return [rows]
    sizes = [graph.add("ReduceProd", [shape], keepdims=1) for shape in shapes]
    return graph.split(rows, len(shapes), sizes=_joined(graph, sizes))


def _single_inputs(graph: GraphBuilder, table: TableSpec, groups: Sequence[tuple[_Group, str]]) -> dict[str, str]:
    """Rows of all single ids, [n, width] each, by one Gather."""
    if not groups:
        return {}
    names = [feature.name for group, _ in groups for feature in group.features]
    rows = _flat(graph, [spread(graph, group.side, part, axis=1) for group, part in groups])
    values = add_gather(graph, table.name, rows, table.dtype)
    return dict(zip(names, graph.split(values, len(names)), strict=True))


def _list_inputs(graph: GraphBuilder, table: TableSpec, feature: Feature, rows: str) -> dict[str, str]:
    """A list's rows and mask, or its pooled row. Padding reads the zero row, whatever stands in its place."""
    mask, side = feature.name + MASK_SUFFIX, feature.side
    present = graph.add("Cast", [mask], to=TensorProto.BOOL)
    zero_row = graph.add("Gather", [f"{table.name}.special", graph.constant(0)])
    rows = graph.add("Where", [present, rows, zero_row])
    if feature.pool:
        values = add_gather(graph, table.name, rows, table.dtype)
        return {feature.name: spread(graph, side, _pooled(graph, feature, values, mask))}
    values = add_gather(graph, table.name, spread(graph, side, rows), table.dtype)
    return {feature.name: values, mask: spread(graph, side, mask)}


def _pooled(graph: GraphBuilder, feature: Feature, values: str, mask: str) -> str:
    axis = graph.constant([1])
    total = graph.add("ReduceSum", [values, axis], keepdims=0)
    if feature.pool == "sum":
        return total
    count = graph.add("ReduceSum", [mask, axis], keepdims=1)
    return graph.add("Div", [total, graph.add("Max", [count, graph.constant(1.0, np.float32)])])


def _flat(graph: GraphBuilder, values: Sequence[str]) -> str:
    return _joined(graph, [graph.add("Reshape", [value, graph.constant([-1])]) for value in values])


def _joined(graph: GraphBuilder, values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else graph.add("Concat", list(values), axis=0)
