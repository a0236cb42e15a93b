"""What a run came to, and what of it is written down."""
