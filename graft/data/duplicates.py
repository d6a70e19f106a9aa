"""stub"""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def candidate_pairs(s):
    return np.empty((0, 2), dtype=np.int64)


def clusters(n, pairs):
    if n == 0:
        return np.empty(0, dtype=np.int64)
    g = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return connected_components(g, directed=False)[1]
