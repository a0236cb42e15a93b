"""Epochs of mini-batch descent, one model or a vector of models at a time."""
