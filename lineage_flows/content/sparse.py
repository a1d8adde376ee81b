"""Rules for scipy's sparse matrices and arrays.

Knows scipy.sparse; imported when a value of scipy's is first seen. The flags and the order of entries that scipy keeps as it
goes are no part of a value; the layout (``csr``, ``coo``, …) is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]

from lineage_flows.content.hashing import count, name, node
from lineage_flows.content.registry import Look, Steps, register
from lineage_flows.content.walk import Walk


def _sparse_steps(value: Any, _walk: Walk) -> Steps:  # noqa: ANN401 - scipy has no types
    entries = value.tocoo(copy=True)
    entries.sum_duplicates()
    # scipy chooses the width of the coordinates by their number.
    tokens = yield (entries.data, *(axis.astype(np.int64) for axis in entries.coords))
    return node(b"scipy sparse", name(value.format), count(isinstance(value, sparse.sparray), *value.shape), *tokens)


def _look_at_sparse(value: Any) -> Look:  # noqa: ANN401 - scipy has no types
    return Look("DataSet", shape=tuple(map(int, value.shape)))


register(sparse.sparray, sparse.spmatrix, steps=_sparse_steps, look=_look_at_sparse, subclasses=True)
