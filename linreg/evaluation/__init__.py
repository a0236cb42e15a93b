"""Judging a model and scoring rows with it."""
