"""Settings of what a version's ONNX graph may hold: section `graphs`."""

from dataclasses import dataclass

from martlet.allowed_operators import GraphRules


@dataclass(frozen=True, slots=True)
class GraphsConfig:
    """What the registry admits and serving loads (see `martlet.allowed_operators`).

    Attributes:
        operators: operators beyond those that are allowed anyway, such as `Loop`: of the standard domain by their
            names, of another one as `domain::name`.
        max_bytes: largest graph.
        max_nodes: most nodes of a graph, those of inner graphs included.
    """

    operators: tuple[str, ...] = ()
    max_bytes: int = 64 << 20
    max_nodes: int = 100_000

    @property
    def rules(self) -> GraphRules:
        """The same, as rules."""
        return GraphRules(frozenset(self.operators), self.max_bytes, self.max_nodes)
