"""FBGEMM's table-batched embeddings under a DeepFM in torch, row-wise AdaGrad fused into the backward pass.

It has no first-order weights, which is a little less work than Martlet's.
"""

import sys
from itertools import pairwise

import fbgemm_gpu  # noqa: F401  registers the operators
import numpy as np
import torch
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation, PoolingMode
from fbgemm_gpu.split_table_batched_embeddings_ops_training import (
    ComputeDevice,
    SplitTableBatchedEmbeddingBagsCodegen,
)
from rounds import serve
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

ROWS, DIM, HIDDEN, THREADS = 1_000_000, 16, (256, 128, 64), 2


class DeepFM(nn.Module):
    """Pairs and a perceptron over the same vectors."""

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.fields = fields
        widths = (fields * DIM, *HIDDEN)
        layers = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
        self.mlp = nn.Sequential(*layers, nn.Linear(HIDDEN[-1], 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Logits [B] of [B, fields * DIM]."""
        split = vectors.view(-1, self.fields, DIM)
        total = split.sum(1)
        pairs = 0.5 * (total * total - (split * split).sum(1)).sum(1)
        return pairs + self.mlp(vectors).squeeze(1) + self.bias


def main() -> None:
    """See the package."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    data, size = np.load(sys.argv[1]), int(sys.argv[2])
    fields = data.shape[1] - 1
    tables = SplitTableBatchedEmbeddingBagsCodegen(
        [(ROWS, DIM, EmbeddingLocation.HOST, ComputeDevice.CPU)] * fields,
        optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD,
        learning_rate=0.05,
        eps=1e-6,
        pooling_mode=PoolingMode.SUM,
    )
    net = DeepFM(fields)
    optimizer = torch.optim.Adagrad(net.parameters(), lr=0.01)
    batches = [
        (torch.tensor(part[:, 1:].T.reshape(-1).copy()), torch.tensor(part[:, 0].astype(np.float32)))
        for part in np.split(data, range(size, len(data), size))
    ]

    def learn_all() -> None:
        for ids, labels in batches:
            offsets = torch.arange(ids.shape[0] + 1)
            vectors = tables(ids, offsets)
            loss = binary_cross_entropy_with_logits(net(vectors), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    serve(learn_all)


if __name__ == "__main__":
    main()
