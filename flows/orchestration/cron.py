"""When a cron expression starts a run: by the Prefect server's own reckoning, before a server is asked.

starts = next_starts("0 6 * * *", "Europe/Berlin")       # three of them; or the error that says what is wrong
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.server.schemas.schedules import CronSchedule

from linreg.errors import UserError

_FIELDS = "minute (0-59), hour (0-23), day of the month (1-31), month (1-12), day of the week (0-6, Sunday is 0)"
_HOUR = 60  # minutes: so many starts at all minutes are one a minute
_RARE = timedelta(days=366)


def next_starts(expression: str, timezone: str) -> list[datetime]:
    """The next three starts.

    Args:
        timezone: an IANA name.

    Raises:
        UserError: the expression is not five fields, cannot be read, names a day that never comes, or one that comes so
            often or so seldom that something else must be meant.
    """
    if len(expression.split()) != 5:
        raise UserError(f"--cron {expression!r} is not five fields: write {_FIELDS}, as in '0 6 * * *'")
    try:
        schedule = CronSchedule(cron=expression, timezone=timezone)
    except ValueError as e:
        raise UserError(f"--cron {expression!r} cannot be read: write {_FIELDS}, as in '0 6 * * *'") from e
    try:
        starts = asyncio.run(schedule.get_dates(_HOUR))
    except ValueError as e:
        raise UserError(f"--cron {expression!r} names a day that never comes: correct the day or the month") from e
    _check_sense(expression, starts)
    return list(starts[:3])


def _check_sense(expression: str, starts: Sequence[datetime]) -> None:
    if len({start.minute for start in starts}) == _HOUR:
        once = " ".join(["0", *expression.split()[1:]])
        meant = f"write {once!r} for one start in each of its hours, or --interval 60 where every minute is meant"
        raise UserError(f"--cron {expression!r} starts a run every minute: {meant}")
    if starts[0] - datetime.now(UTC) > _RARE or starts[1] - starts[0] > _RARE:
        days = f"{starts[0]:%Y-%m-%d} and then {starts[1]:%Y-%m-%d}"
        raise UserError(
            f"--cron {expression!r} starts a run less than once a year, {days}: correct the day or the month"
        )


def announcement(starts: Sequence[datetime], timezone: str) -> str:
    """The starts in one line, with the time zone."""
    return f"next starts: {', '.join(f'{start:%a %Y-%m-%d %H:%M %Z}' for start in starts)} ({timezone})"
