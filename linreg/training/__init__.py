"""From a record or rows to parameters: what to expect, the epochs, the trainers."""
