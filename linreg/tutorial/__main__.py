"""``python -m linreg.tutorial``: every reproducible number of the tutorial, ours, and the difference."""

import sys
from collections.abc import Sequence

from linreg.errors import UserError
from linreg.tutorial import check, crops


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table; 0 where every number agrees within the rounding, 1 where one does not, 2 without the data.

    Args:
        arguments: there are none to give: any is refused, with 2.
    """
    if arguments:
        sys.stderr.write(f"error: {' '.join(arguments)}: this command takes no arguments: leave them out\n")
        return 2
    try:
        lines = check.table(crops.first_table(), crops.second_table())
    except UserError as e:
        sys.stderr.write(f"error: {e}\n")
        return 2
    sys.stdout.write(check.text(lines) + "\n")
    return 0 if all(abs(x.difference) <= x.allowed for x in lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
