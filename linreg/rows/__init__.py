"""Rows in memory: which of them train and which judge, and in which order epochs walk them."""
