"""The ``linreg`` command, one thin file a group of commands."""
