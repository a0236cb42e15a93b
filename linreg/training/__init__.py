"""From a record or rows to parameters: what to expect, the one loop, the trainers.

May import: moments, rows, kernels, least_squares, tutorial.
"""
