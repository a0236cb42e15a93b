"""Loops over rows, compiled for this machine by numba and kept on disk; imported only where there are rows enough.

Every sum is written out lane by lane (``simd``), so a compiler may not reorder it: the same bits on every x86-64.
Modules here know arrays and nothing else: no config, no records, no torch.
"""
