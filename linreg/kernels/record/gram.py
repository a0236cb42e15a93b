"""The sums of products of rows, shifted: half the arithmetic of a factor, and fit for it where columns are not alike.

Squares are taken, so as many digits are lost as the squared condition number has. Tiles of four by four columns keep
sixteen sums in registers over a chunk of rows.

Shapes: K columns, M rows of a chunk; G is (K, K), symmetric.
"""

from typing import Any

import numba
import numpy as np

from linreg.kernels.jit import compiled, inlined
from linreg.kernels.record.columns import CHUNK, LANES, chunk, means
from linreg.kernels.record.householder import SAMPLE
from linreg.kernels.simd import at, lanes, set_at

TILE = 4

_v = lanes(numba.float64, LANES)
_load, _splat, _fma, _total, _stack, _get, _put = _v.load, _v.splat, _v.fma, _v.total, _v.stack, _v.get, _v.put


@inlined
def _tile(g: Any, z: Any, room: int, i: int, j: int) -> None:
    """The products of columns i to i + 3 with columns j to j + 3, added to G."""
    s = _stack()
    for c in range(TILE * TILE):
        _put(s, c, _splat(0.0))
    for n in range(0, CHUNK, LANES):
        for a in range(TILE):
            x = _load(z, (i + a) * CHUNK + n)
            for b in range(TILE):
                _put(s, a * TILE + b, _fma(x, _load(z, (j + b) * CHUNK + n), _get(s, a * TILE + b)))
    for a in range(TILE):
        for b in range(TILE):
            to = (i + a) * room + j + b
            set_at(g, to, at(g, to) + _total(_get(s, a * TILE + b)))


@compiled()
def leaf(addresses: Any, single: Any, chosen: Any, root: Any, rows: int) -> Any:
    """``(G, shift)`` of rows, the ones first; the upper triangle of G counts. See ``columns.chunk``."""
    k = addresses.size + 1
    room = (k + TILE - 1) // TILE * TILE
    shift = means(addresses, single, chosen, root, min(rows, SAMPLE), rows)
    g, z = np.zeros(room * room), np.zeros(room * CHUNK)
    for row in range(0, rows, CHUNK):
        chunk(z, addresses, single, chosen, shift, root, row, min(CHUNK, rows - row))
        for i in range(0, room, TILE):
            for j in range(i, room, TILE):
                _tile(g, z, room, i, j)
    return g.reshape(room, room)[:k, :k].copy(), shift
