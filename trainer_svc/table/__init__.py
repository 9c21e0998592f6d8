"""The collisionless embedding table of the trainer."""

from trainer_svc.table.embedding_table import EmbeddingTable, TableFull

__all__ = ["EmbeddingTable", "TableFull"]
