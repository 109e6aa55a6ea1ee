"""When scenes were taken, and which dates a season holds."""

import calendar
import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass

from landcover.errors import InputError
from landcover.progress import remark

_TAGS = ("date", "acquisition_date", "date_acquired", "datetime", "sensing_date")
_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")
_FORMS = "needs YYYY-MM-DD, YYYY-MM or YYYY, or MM-DD for that day of every year"
_LEAP = 2000
"""A year in which every day of the calendar exists."""


def date_of(tags: Mapping[str, str], name: str) -> datetime.date | None:
    """Return when a scene was taken: by its tags, else by its file name, with a remark.

    Args:
        tags: of the dataset.
        name: of the file.
    """
    told = {key.lower(): value for key, value in tags.items()}
    for tag in _TAGS:
        if (found := _date_at_begin(told.get(tag, ""))) is not None:
            return found
    dates = {_date("-".join(match.group(1, 3, 4))) for match in _IN_NAME.finditer(name)} - {None}
    if len(dates) != 1:
        return None
    date = dates.pop()
    remark(f"{name} has no tag DATE, its date was taken from its name: {date}")
    return date


def _date_at_begin(text: str) -> datetime.date | None:
    return _date(text.strip()[:10].replace(":", "-"))


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Season:
    """A span of dates, both ends included.

    Attributes:
        start: the first date; of a yearly span its year means nothing. None is unbounded.
        end: the last date, alike.
        is_yearly: whether it comes back every year; it may go over the turn of the year.
    """

    start: datetime.date | None = None
    end: datetime.date | None = None
    is_yearly: bool = False

    @classmethod
    def of(cls, start: str, end: str) -> "Season":
        """Read both ends.

        Raises:
            InputError: an end is no date, only one of them is of every year, or the last date
                lies before the first.
        """
        first, first_yearly = _end_of_span(start, "start", last=False)
        last, last_yearly = _end_of_span(end, "end", last=True)
        if first_yearly != last_yearly:
            raise InputError(
                f"start is {start or 'empty'} and end is {end or 'empty'}, a day of every year "
                "(MM-DD) needs another one"
            )
        if not first_yearly and first and last and last < first:
            raise InputError(f"end is {end}, which lies before start, {start}", "end")
        return cls(first, last, first_yearly)

    @property
    def is_all(self) -> bool:
        """Whether every date lies in it, an unknown one too."""
        return self.start is None and self.end is None

    def __contains__(self, date: datetime.date) -> bool:
        """Return whether a date lies in it."""
        if not self.is_yearly:
            return (self.start or date) <= date <= (self.end or date)
        day, first, last = (_day(one) for one in (date, self.start, self.end) if one)
        return first <= day <= last if first <= last else day >= first or day <= last


def _day(date: datetime.date) -> tuple[int, int]:
    return date.month, date.day


def _end_of_span(text: str, name: str, last: bool) -> tuple[datetime.date | None, bool]:
    """Return a date, and whether it is one of every year."""
    given = text.strip()
    if not given:
        return None, False
    numbers = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?|(\d\d)-(\d\d)", given)
    if numbers is None:
        raise InputError(f"{name} is {given}, {_FORMS}", name)
    year, month, day, every_month, every_day = (int(n or 0) for n in numbers.groups())
    try:
        if every_month or every_day:
            return datetime.date(_LEAP, every_month, every_day), True
        month = month if numbers[2] else 12 if last else 1
        if not numbers[3]:
            day = calendar.monthrange(year, month)[1] if last else 1
        return datetime.date(year, month, day), False
    except (ValueError, calendar.IllegalMonthError) as error:
        raise InputError(f"{name} is {given}, which is no date; it {_FORMS}", name) from error
