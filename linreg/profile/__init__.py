"""A first look at a table: what its columns are, and the config that suits them."""
