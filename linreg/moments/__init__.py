"""Rows to their record, and records to one: the factor R of ``[1 | X - c | Y - c]`` and what is kept beside it."""
