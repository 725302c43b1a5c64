"""A database as a backup has it, restored in the place of the one that went on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from config.servers import postgresql, unprivileged
from config.servers.postgresql import Installation
from retention.operations import opening
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
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                name, sql.Identifier(postgresql.OWNER)
            )
        )
    _run(stage, "pg_restore", f"--dbname={stage.database}", str(path))
    opening.forget()
    _point_at(stage.environment(stage.role)["DATABASE_URL"])


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


