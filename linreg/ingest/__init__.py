"""``[data]`` to a Dataset and its records, through the cache."""
