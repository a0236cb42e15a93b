"""``[data]`` to a Dataset and its records, through the cache.

May import: files, rows, moments.
"""
