"""The trainers, each its hyperparameters and one epoch, state in and state out.

What they share is in ``contract``, ``sgd`` and ``torch_epoch``.
"""
