"""Update strategies: runs beside the live learner, each a lineage of its own that takes the structural road."""
