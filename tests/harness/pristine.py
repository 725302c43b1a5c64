"""Brings a test's database back to what its template was, row by row, or says that it cannot."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from psycopg import sql

# Deleted rows stay in their files until a vacuum: grown by more, a new clone is the better one.
GROWN_BYTES = 512 * 1024
END_MILLISECONDS = 5000

TABLES = """
SELECT oid::regclass::text, relnamespace = 'pg_catalog'::regnamespace
FROM pg_class
WHERE relkind = 'r' AND NOT relisshared AND relpersistence <> 't'
    AND relnamespace <> 'information_schema'::regnamespace
ORDER BY 1
"""
SEQUENCES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' ORDER BY 1"
# What a database is beside its tables, and what statistics write in place where no xmin tells.
BESIDES = """
SELECT datdba, datallowconn, datconnlimit, datacl::text,
    (SELECT count(*) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid),
    (SELECT count(*) FROM pg_prepared_xacts x WHERE x.database = d.datname),
    (SELECT sum(reltuples) FROM pg_class WHERE relkind = 'r' AND oid >= 16384)
FROM pg_database d WHERE datname = current_database()
"""
END_THE_OTHERS = """
SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Pristine:
    """What a template holds: how many rows in which table, which ones, and all that counts on."""

    counts: dict[str, int]
    catalogs: frozenset[str]
    contents: dict[str, bytes]
    sizes: dict[str, int]
    sequences: dict[str, tuple[int, bool]]
    besides: tuple[object, ...]
    # Said once: naming each of a hundred tables anew would cost more than asking.
    question: sql.Composed = field(repr=False)
    sequence_question: sql.Composed | None = field(repr=False)

    @classmethod
    def read(cls, connection: psycopg.Connection) -> Pristine:
        """Read it from a clone that nobody has used yet."""
        tables = connection.execute(TABLES).fetchall()
        question = sql.SQL(" UNION ALL ").join(
            sql.SQL(
                "SELECT {name}, count(*), coalesce(bool_or(age(xmin) < age(%(since)s::xid)), false)"
                " FROM ONLY {table}"
            ).format(name=sql.Literal(name), table=sql.SQL(name))
            for name, _is_catalog in tables
        )
        found = connection.execute(question, {"since": transaction(connection)}).fetchall()
        counts = {name: count for name, count, _is_written in found}
        ours = [name for name, is_catalog in tables if not is_catalog]
        names = [name for (name,) in connection.execute(SEQUENCES).fetchall()]
        asked = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(
                sql.Literal(name), sql.SQL(name)
            )
            for name in names
        )
        return cls(
            counts=counts,
            catalogs=frozenset(name for name, is_catalog in tables if is_catalog),
            contents={name: _copied(connection, name) for name in ours if counts[name]},
            sizes={name: _size(connection, name) for name in ours},
            sequences=_sequences(connection, asked if names else None),
            besides=_besides(connection),
            question=question,
            sequence_question=asked if names else None,
        )

    def restore(self, connection: psycopg.Connection, *, since: str) -> str | None:
        """
        Undo what was written after the transaction `since`; connected as the superuser.

        Gives the transaction since which nothing is written again, or None where rows are not all
        that differs: definitions, rights, statistics.
        """
        connection.execute(END_THE_OTHERS, [END_MILLISECONDS])
        if _besides(connection) != self.besides:
            return None
        written = {
            name
            for name, count, is_written in connection.execute(self.question, {"since": since})
            if is_written or count != self.counts[name]
        }
        if written & self.catalogs or any(
            _size(connection, name) > self.sizes[name] + GROWN_BYTES for name in written
        ):
            return None
        with connection.transaction():
            # No trigger fires: not those that make the audit log append-only, nor foreign keys.
            connection.execute("SET LOCAL session_replication_role = replica")
            for name in sorted(written):
                connection.execute(sql.SQL("DELETE FROM ONLY {}").format(sql.SQL(name)))
                self._refill(connection, name)
            now = _sequences(connection, self.sequence_question)
            for name, (value, is_called) in self.sequences.items():
                if now[name] != (value, is_called):
                    connection.execute("SELECT setval(%s, %s, %s)", [name, value, is_called])
            return transaction(connection)

    def _refill(self, connection: psycopg.Connection, name: str) -> None:
        if content := self.contents.get(name):
            statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.SQL(name))
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(content)


def _copied(connection: psycopg.Connection, name: str) -> bytes:
    statement = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.SQL(name))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        return b"".join(copy)


def _size(connection: psycopg.Connection, name: str) -> int:
    row = connection.execute("SELECT pg_relation_size(%s::regclass)", [name]).fetchone()
    assert row
    return int(row[0])


def _sequences(
    connection: psycopg.Connection, question: sql.Composed | None
) -> dict[str, tuple[int, bool]]:
    if question is None:
        return {}
    return {name: (value, called) for name, value, called in connection.execute(question)}


def _besides(connection: psycopg.Connection) -> tuple[object, ...]:
    row = connection.execute(BESIDES).fetchone()
    assert row
    return tuple(row)


def transaction(connection: psycopg.Connection) -> str:
    """Give a transaction's number that is higher than those of all rows there are by now."""
    row = connection.execute("SELECT pg_current_xact_id()::xid::text").fetchone()
    assert row
    return str(row[0])
