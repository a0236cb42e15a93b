"""Bytes of CSV and Parquet to checked columns, and back: which files a path means, their digests, their faults."""
