"""Text that people read, from records; nothing is computed here.

May import: flows.tracking, flows.results, linreg.
"""
