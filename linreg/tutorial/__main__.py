"""``python -m linreg.tutorial``: every reproducible number of the tutorial, ours, and the difference."""

import sys

from linreg.errors import UserError
from linreg.tutorial import check, crops


def main() -> int:
    """Print the table; 0 where every number agrees within the rounding, 1 where one does not, 2 without the data."""
    try:
        lines = check.table(crops.first_table(), crops.second_table())
    except UserError as e:
        sys.stderr.write(f"error: {e}\n")
        return 2
    sys.stdout.write(check.text(lines) + "\n")
    return 0 if all(abs(x.difference) <= x.allowed for x in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
