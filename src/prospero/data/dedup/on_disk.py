"""A file that a de-duplication keeps what it remembers in: memory stays flat, however large the corpus."""

import sqlite3
from pathlib import Path

CACHE_KIB = 64 * 1024
"""Memory for pages of the file; the rest is the system's to keep or not."""


def scratch(path: Path, *tables: str) -> sqlite3.Connection:
    """Return a new SQLite file with `tables`, without a journal: a preparation that is killed begins it anew."""
    path.unlink(missing_ok=True)
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{CACHE_KIB}"):
        file.execute(f"PRAGMA {setting}")
    for table in tables:
        file.execute(f"CREATE TABLE {table}")
    file.execute("BEGIN")
    return file
