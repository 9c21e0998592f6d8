"""Not a rival, but like them in an environment of its own: columns of a Parquet file as arrays (.npz).

A column of texts becomes numbers, with the texts that they stand for as `<name>_texts`; times become seconds.
Arguments: the file, where the arrays go, the columns' names.
"""

import sys

import numpy as np
import pyarrow.parquet as pq


def main() -> None:
    """See the package."""
    source, to, *names = sys.argv[1:]
    table = pq.read_table(source, columns=names)
    arrays = {}
    for name in names:
        values = table[name].to_numpy()
        if values.dtype.kind == "M":
            values = values.astype("datetime64[s]").astype(np.int64)
        elif values.dtype == object:
            arrays[f"{name}_texts"], values = np.unique(values.astype(str), return_inverse=True)
        arrays[name] = values
    np.savez(to, **arrays)


if __name__ == "__main__":
    main()
