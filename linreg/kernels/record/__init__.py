"""The triangular factor of a leaf of rows."""
