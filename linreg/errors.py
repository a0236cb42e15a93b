"""The two kinds of failure that a caller is told about in one line.

``UserError``: the caller's input is wrong (exit status 2). ``ServerAway``: a server that the work needs does not answer
(exit status 1). Everything else that is raised is a fault of ours.
"""

import difflib
from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """The caller's input is wrong: data, config, rate, or a name that does not exist.

    Args:
        message: one line that says what, where and what to do.
        details: further lines, printed indented under the first.

    >>> import linreg
    >>> try:
    ...     linreg.load_config("configs/crop.toml")
    ... except linreg.UserError as error:
    ...     print(error)
    config configs/crop.toml does not exist: name a TOML file
    """

    def __init__(self, message: str, *, details: Iterable[str] = ()) -> None:
        super().__init__(" ".join(message.split()))
        self.details = tuple(details)

    def __reduce__(self) -> tuple[type["UserError"], tuple[str]]:
        """Rebuilt from its line alone, so that it crosses process borders."""
        return type(self), (str(self),)


class ServerAway(RuntimeError):
    """A tracking or orchestration server does not answer, and the work cannot go on without it.

    Args:
        message: one line that says what, where and what to do.
        details: further lines, printed indented under the first.
    """

    def __init__(self, message: str, *, details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.details = tuple(details)


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name is meant, or list them all: `` (did you mean 'x'?)`` or `` (known: a, b)``.

    >>> nearest("tmep", ["temp", "rainfall"])
    " (did you mean 'temp'?)"
    """
    names = [str(k) for k in known]
    lowered = {n.lower(): n for n in names}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    if close:
        return f" (did you mean '{lowered[close[0]]}'?)"
    return f" (known: {', '.join(names)})" if names else ""


def listed(names: Sequence[str], *, most: int = 10) -> str:
    """The names, or as many as a line holds.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def apart(title: str, names: Iterable[str]) -> str:
    """A title of ours beside names of the user's: in brackets where one of them is called the same.

    >>> apart("intercept", ["temp", "intercept"])
    '(intercept)'
    """
    taken = set(names)
    while title in taken:
        title = f"({title})"
    return title
