"""Many models: a grid, k-fold errors, the ridge path, and which is best.

May import: training, least_squares, moments, rows.
"""
