"""Ours beside the peers and the limit, in one run. ``python -m bench [CASE ...] [--json]``; a case is one file here."""
