"""The triangular factor of a leaf of rows.

May import: linreg.kernels.
"""
