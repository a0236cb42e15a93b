"""How rows are cut and parts added up: fixed, so that the bits hang neither on the card nor on how rows arrive.

Shapes: S spans, 8 a leaf; L leaves; W columns of a square.
"""

import torch

LEAF = 65_536  # rows, as ``rows.LEAF``
SPAN = 8192  # rows of one program: hundreds of programs even out, and few parts are written


def tree(parts: torch.Tensor) -> torch.Tensor:
    """The sum over the first axis as a tree of neighbours: additions of whole tensors, so one order on every device."""
    while len(parts) > 1:
        even = len(parts) & ~1
        pairs = parts[0:even:2] + parts[1:even:2]
        parts = pairs if even == len(parts) else torch.cat([pairs, parts[even:]])
    return parts[0]


def leaves(squares_SWW: torch.Tensor) -> torch.Tensor:
    """The sums of each leaf's spans, (L, W, W)."""
    a_leaf = LEAF // SPAN
    lacking = -len(squares_SWW) % a_leaf
    if lacking:
        squares_SWW = torch.cat([squares_SWW, squares_SWW.new_zeros(lacking, *squares_SWW.shape[1:])])
    return tree(squares_SWW.view(-1, a_leaf, *squares_SWW.shape[1:]).transpose(0, 1))
