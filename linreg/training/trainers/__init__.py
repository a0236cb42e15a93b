"""The trainers: each is its hyperparameters and one epoch, state in and state out.

May import: kernels, rows, least_squares, tutorial.
"""
