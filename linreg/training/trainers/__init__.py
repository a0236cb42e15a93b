"""The trainers, each its hyperparameters and one epoch, state in and state out.

What they share is in ``contract``, ``descent``, ``sgd`` and ``torch_epoch``.
"""
