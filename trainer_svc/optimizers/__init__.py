"""Optimizers of the dense weights, and the learning rates of dense weights and rows.

The rules of the rows are kernels of the embedding table: `trainer_svc.table.updates`.
"""
