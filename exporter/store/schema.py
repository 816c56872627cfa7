"""The state file: which tables it has, and by which marks it is known. It holds no secret."""

APPLICATION_ID = 0x464C4252
"""Stands in SQLite's header and tells the file from other programs' (it spells FLBR)."""

_QUERIES = (
    # One row for each query that was polled. `source` is what it asks whom, `amounts`
    # which amounts its rows hold, `polled` the Unix time of its last good poll. Days count from
    # 1970: `held` are those with marks, `asked` those that the poll asked for, newest first. The
    # rest is as the metrics had it.
    """CREATE TABLE queries (
        id INTEGER PRIMARY KEY, name TEXT UNIQUE, source TEXT, amounts TEXT, polled REAL,
        held TEXT, asked TEXT, newest_day INTEGER, newest_record INTEGER,
        records INTEGER, found INTEGER, folded INTEGER)""",
    # One row for each group with a mark or a counter. `labels` is a JSON list of their values.
    """CREATE TABLE groups (
        query INTEGER, id INTEGER, labels TEXT, PRIMARY KEY (query, id)) WITHOUT ROWID""",
    # One row for each counter. `owed` is empty where nothing is. `ended` numbers the counters
    # without a series in the order in which they lost it, and is 0 for those that have one.
    """CREATE TABLE counters (
        query INTEGER, id INTEGER, amounts TEXT, owed TEXT, ended INTEGER,
        PRIMARY KEY (query, id)) WITHOUT ROWID""",
    # One row for each day and group with a mark. `total` is the last total: NULL where it is the
    # mark, and empty where the last answer had no record of the group on that day.
    """CREATE TABLE totals (
        query INTEGER, day INTEGER, id INTEGER, mark TEXT, total TEXT,
        PRIMARY KEY (query, day, id)) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA user_version = 1",
)
"""Amounts are whole numbers of any size with spaces between them, as `metrics` places them."""

_NAMES = (
    # One row for each name that the API has ever said. `source` is the account. `workspace` is the
    # ID of a repository's workspace, else empty. Of the account itself, `id` is the organisation's
    # and `name` the role.
    """CREATE TABLE names (
        source TEXT, kind TEXT, id TEXT, name TEXT, workspace TEXT,
        PRIMARY KEY (source, kind, id)) WITHOUT ROWID""",
    "PRAGMA user_version = 2",
)

FORMATS = (_QUERIES, _NAMES)
"""What makes each format of the one before; the first makes a file that is new."""
FORMAT = len(FORMATS)
"""SQLite's user_version: which tables the file has. A newer exporter may write a higher one."""

GROUP = "INSERT OR REPLACE INTO groups VALUES (?, ?, ?)"
COUNTER = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?, ?, ?)"
TOTAL = "INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?)"
QUERY = "INSERT OR REPLACE INTO queries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
NAME = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)"
NO_COUNTER = "DELETE FROM counters WHERE query = ? AND id = ?"
NO_DAY = "DELETE FROM totals WHERE query = ? AND day = ?"
NO_GROUP = "DELETE FROM groups WHERE query = ? AND id = ?"
NO_NAME = "DELETE FROM names WHERE source = ? AND kind = ? AND id = ?"
NO_OTHER_NAMES = "DELETE FROM names WHERE source != ?"
EMPTY = (
    "DELETE FROM names",
    "DELETE FROM totals",
    "DELETE FROM counters",
    "DELETE FROM groups",
    "DELETE FROM queries",
)
NO_QUERY = (
    "DELETE FROM totals WHERE query = ?",
    "DELETE FROM counters WHERE query = ?",
    "DELETE FROM groups WHERE query = ?",
    "DELETE FROM queries WHERE id = ?",
)
"""What forgets a query, each with its id."""

QUERIES = "SELECT * FROM queries"
GROUPS = "SELECT * FROM groups ORDER BY query, id"
COUNTERS = "SELECT * FROM counters ORDER BY ended, id"
TOTALS = "SELECT * FROM totals"
NAMES = "SELECT * FROM names"
