"""What a run came to, and what of it is written down.

May import: flows.steps, flows.tracking.
"""
