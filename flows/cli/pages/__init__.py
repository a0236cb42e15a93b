"""Text that people read, from records; nothing is computed here."""
