"""How old the virus signatures are.

A clamd with signatures of last year finds the viruses of last year and calls itself well. ClamAV 0.103, all that CentOS
7 has, is refused by the public servers and depends on a mirror of the site's own, which may stop without anybody
noticing; so age is watched on every distribution. A database says itself when it was built: the time of the file is
that of its copy.
"""

import re
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, NamedTuple, Optional

from mailimg_firstboot.errors import FirstbootError
from mailimg_firstboot.host import Host
from mailimg_firstboot.work import Work

# freshclam keeps a database as it was fetched (cvd) or with updates worked in (cld); `daily` has what is new.
NAMES = ("daily.cld", "daily.cvd", "main.cld", "main.cvd")

# ClamAV's documentation, "CVD format": 512 bytes, fields between colons: magic, build time, version, number of
# signatures, functionality level, MD5, digital signature, builder, build time in seconds; blanks to the end.
HEADER = 512
MAGIC = "ClamAV-VDB"
EPOCH_FIELD = 8

# 31 Jan 2026 07-24 -0400
BUILT = re.compile(r"(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2})-(\d{2})(?: ([+-])(\d{2})(\d{2}))?")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Seconds since 1970 of ClamAV's first release: no database is older.
OLDEST = datetime(2002, 5, 8, tzinfo=timezone.utc).timestamp()

# Seconds; a clock may be behind the builder's by as much.
DAY = 86400.0

# Begins every warning; monitoring looks for it in the journal.
TOO_OLD = "virus signatures too old"

# What `look` found, for people.
SEEN = "virus signatures: {database} version {version}, built {built}, {age_days} days old"


class Database(NamedTuple):
    """An official database; `built` in seconds since 1970."""

    name: str
    version: int
    built: float


def parse(header: bytes, name: str) -> Database:
    """What the header of a database says.

    Raises:
        ValueError: it is none.
    """
    if len(header) < HEADER:
        raise ValueError("{} is cut off".format(name))
    fields = header[:HEADER].decode("ascii", "replace").split(":")
    if fields[0] != MAGIC or len(fields) < EPOCH_FIELD or not re.match(r"[0-9]{1,9}\Z", fields[2]):
        raise ValueError("{} is no database of ClamAV".format(name))
    seconds = fields[EPOCH_FIELD].strip() if len(fields) > EPOCH_FIELD else ""
    built = float(seconds) if re.match(r"[0-9]{9,11}\Z", seconds) else _built(fields[1])
    if built is None or built < OLDEST:
        raise ValueError("{} does not say when it was built".format(name))
    return Database(name, int(fields[2]), built)


def _built(text: str) -> Optional[float]:
    """The build time in words, which strptime would read in the locale's language."""
    found = BUILT.match(text)
    if not found or found.group(2) not in MONTHS:
        return None
    day, month, year, hour, minute = (found.group(1), MONTHS.index(found.group(2)) + 1, *found.group(3, 4, 5))
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), tzinfo=timezone.utc)
    except ValueError:
        return None
    ahead = timedelta(hours=int(found.group(7) or 0), minutes=int(found.group(8) or 0))
    return (local + ahead if found.group(6) == "-" else local - ahead).timestamp()


def watched(work: Work) -> Optional[Dict[str, Any]]:
    """What `look` is to be told about a node, kept in status.json; None for a node without clamd."""
    place = work.role.facts.get("clamd", {}).get("database")
    if not place or not any(service.name == "clamd" for service in work.role.services):
        return None
    return {"folder": place, "max_age_days": work.site["filter"]["freshclam"]["max_age_days"]}


def look(host: Host, watch: Dict[str, Any], now: float) -> Dict[str, Any]:
    """The newest official database in a folder, for status.json and people.

    Args:
        watch: what `watched` returned.
        now: seconds since 1970.

    Returns:
        `watch`, and of the newest database `database`, `version`, `built` (UTC), `age_days`, or None; `warning` is a
        text or None.
    """
    found, problems = [], []
    for name in NAMES:
        path = "{}/{}".format(watch["folder"].rstrip("/"), name)
        if host.state(path) is None:
            continue
        try:
            found.append(parse(host.disks.read(path, 0, HEADER), name))
        except FirstbootError as error:
            problems.append(error.message)
        except ValueError as error:
            problems.append(str(error))
    newest = max(found, key=lambda one: one.built) if found else None
    warning = None
    if newest is None:
        warning = "no official database in {}".format(watch["folder"])
    elif now - newest.built > watch["max_age_days"] * DAY:
        warning = "{}, limit {} days".format(words(newest, now), watch["max_age_days"])
    elif newest.built - now > DAY:
        warning = "{} says that it was built on {}; is the clock right?".format(newest.name, _stamp(newest)[:10])
    if warning:
        warning = "; ".join(["{}: {}".format(TOO_OLD, warning), *problems])
    return dict(
        watch, database=newest and newest.name, version=newest and newest.version, built=newest and _stamp(newest),
        age_days=newest and round((now - newest.built) / DAY, 1), warning=warning)


def words(one: Database, now: float) -> str:
    """A database for people: `daily.cld version 27000 of 2026-01-31, 3.2 days old`."""
    return "{} version {} of {}, {:.1f} days old".format(
        one.name, one.version, _stamp(one)[:10], (now - one.built) / DAY)


def _stamp(one: Database) -> str:
    return datetime.fromtimestamp(one.built, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
