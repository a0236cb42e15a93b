"""Judging a model and scoring rows with it.

May import: files, rows, moments, least_squares, model.
"""
