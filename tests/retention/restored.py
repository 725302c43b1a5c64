"""A database as a backup has it, restored in the place of the one that went on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from config.servers import postgresql, unprivileged
from config.servers.postgresql import Installation
from retention.operations import opening
from tests.harness.databases import address, clone
from tests.harness.roles import Stage, _point_at
from tests.harness.session import DATA


def dump(stage: Stage, path: Path) -> Path:
    """Write a backup with pg_dump, as the owner of the database would."""
    _run(stage, "pg_dump", "--format=custom", f"--file={path}", stage.database)
    return path


def restore(stage: Stage, path: Path) -> None:
    """Put the backup in the place of the database, and start anew as every process does."""
    _point_at(None)
    with psycopg.connect(stage.servers.superuser_url("postgres"), autocommit=True) as connection:
        name = sql.Identifier(stage.database)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(name, sql.Identifier(postgresql.OWNER))
        )
    _run(stage, "pg_restore", f"--dbname={stage.database}", str(path))
    opening.forget()
    _point_at(stage.environment(stage.role)["DATABASE_URL"])


def copy(stage: Stage) -> str:
    """Copy the database file by file; gives the name of the copy."""
    _point_at(None)
    with _owner(stage) as owner:
        made = clone(owner, source=stage.database)
    _point_at(stage.environment(stage.role)["DATABASE_URL"])
    return made


def put_back(stage: Stage, copied: str) -> None:
    """Put the copy in the place of the database; processes that run are not told."""
    _point_at(None)
    with _owner(stage) as owner:
        for name, renamed in ((stage.database, f"{copied}_lost"), (copied, stage.database)):
            owner.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(name), sql.Identifier(renamed)
                )
            )
    _point_at(stage.environment(stage.role)["DATABASE_URL"])


def _owner(stage: Stage) -> psycopg.Connection:
    url = stage.servers.environment("owner")["DATABASE_URL"]
    return psycopg.connect(address(url, database="postgres"), autocommit=True)


def _run(stage: Stage, program: str, *arguments: str) -> None:
    home = unprivileged.home(DATA, step_down_to=unprivileged.account())
    binaries = next(home.glob(".pg0/installation/*/bin"))
    environment = Installation(home, binaries, home / "cluster", None).environment()
    done = subprocess.run(
        [str(binaries / program), *arguments],
        env={
            **environment,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(stage.servers.ports["postgresql"]),
            "PGUSER": postgresql.SUPERUSER,
            "PGPASSWORD": stage.servers.secrets.get("postgresql-superuser"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")
