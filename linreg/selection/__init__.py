"""Many models: a grid, k-fold errors, the ridge path, and which is best."""
