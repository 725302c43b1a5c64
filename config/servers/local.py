"""Starts the three servers below one data folder, or joins those that run there already."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from config.servers import (
    environment,
    identities,
    ports,
    postgresql,
    seaweedfs,
    unprivileged,
    valkey,
)
from config.servers.files import make_private, read_environment, write_private
from config.servers.passwords import Secrets
from config.servers.process import (
    Process,
    ServerDied,
    descendants,
    end_family,
    start_time,
    stop_all,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

JOIN_SECONDS = 120
MEANWHILE_SECONDS = 300
PORT_NAMES = ("postgresql", "valkey", *seaweedfs.PORT_NAMES)

Report = Callable[[str], None]


@dataclass(slots=True)
class Servers:
    """The three servers below one data folder, running."""

    data: Path
    ports: dict[str, int]
    secrets: Secrets
    processes: list[Process] = field(default_factory=list)
    is_ours: bool = True

    def environment(self, role: str) -> dict[str, str]:
        """Give the environment of a role: owner, web, work, purge or beat."""
        return read_environment(self.data / "env" / f"{role}.env")

    def s3(self, identity: str) -> S3Client:
        """Give a client of the store with the keys of an identity, or of `admin`."""
        return seaweedfs.client(
            seaweedfs.endpoint(self.ports),
            access_key=identities.access_key(identity, self.secrets),
            secret_key=identities.secret_key(identity, self.secrets),
        )

    def superuser_url(self, database: str = postgresql.DATABASE) -> str:
        """Give the address of a database with the superuser's login, for set-up and tests alone."""
        password = self.secrets.get("postgresql-superuser")
        server = f"127.0.0.1:{self.ports['postgresql']}"
        return f"postgresql://{postgresql.SUPERUSER}:{password}@{server}/{database}"

    def check_alive(self) -> None:
        """Raises: ServerDied when one of them has ended."""
        for process in self.processes:
            process.check_alive()


def _say_nothing(_: str) -> None:
    """Report to nobody."""


@contextmanager
def start(
    data: Path,
    *,
    web_port: int = ports.PREFERRED_WEB_PORT,
    patient: bool = True,
    report: Report = _say_nothing,
    meanwhile: Callable[[Servers], Process] | None = None,
) -> Iterator[Servers]:
    """
    Run the servers below `data` for as long as the context lasts.

    Where they run already, by another process, they are joined and left running at the end. Not
    `patient`, SeaweedFS is killed at the end instead of given the 17 s it takes to stop: for tests.
    What `meanwhile` gives needs PostgreSQL alone, and is run to its end while SeaweedFS starts.

    Raises: ServerDied when one does not start, with the tail of its log.
    """
    data = data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    # PostgreSQL's account has to pass through; what is private is closed one level below.
    data.chmod(0o711 if unprivileged.account() else 0o700)
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            servers = _join(data)
            if meanwhile:
                _finish(_begin(servers, meanwhile), servers, report)
            yield servers
            return
        _end_left_behind(data)
        secrets = Secrets(data / "secrets")
        servers = Servers(data, {}, secrets)
        try:
            _start(servers, web_port=web_port, report=report, meanwhile=meanwhile)
            yield servers
        except ServerDied as died:
            died.tell()
            raise
        finally:
            if not patient:
                seaweedfs.hurry(servers.processes)
            stop_all(servers.processes)
            seaweedfs.remove_sockets(servers.ports)
            (data / "env" / "servers.json").unlink(missing_ok=True)


def _join(data: Path) -> Servers:
    """Wait for the servers another process is starting. Raises: ServerDied after two minutes."""
    announced = data / "env" / "servers.json"
    deadline = time.monotonic() + JOIN_SECONDS
    while not announced.exists() or not json.loads(announced.read_text()).get("ready"):
        if time.monotonic() > deadline:
            raise ServerDied(f"The servers below {data} are held by another process, but not up.")
        time.sleep(0.1)
    found = json.loads(announced.read_text())["ports"]
    return Servers(data, found, Secrets(data / "secrets"), is_ours=False)


def _end_left_behind(data: Path) -> None:
    """End servers whose supervisor was killed: they hold ports and files we are about to use."""
    announced = data / "env" / "servers.json"
    if not announced.exists():
        return
    for pid, started in json.loads(announced.read_text()).get("started", {}).items():
        if start_time(int(pid)) == started:
            end_family({int(pid): started, **descendants(int(pid))})
    announced.unlink()


def _begin(servers: Servers, meanwhile: Callable[[Servers], Process]) -> Process:
    process = meanwhile(servers)
    servers.processes.append(process)
    process.start()
    return process


def _finish(process: Process, servers: Servers, report: Report) -> None:
    with timed(report, process.name):
        process.finish(timeout_seconds=MEANWHILE_SECONDS)
    servers.processes.remove(process)


def _start(
    servers: Servers,
    *,
    web_port: int,
    report: Report,
    meanwhile: Callable[[Servers], Process] | None,
) -> None:
    data, secrets = servers.data, servers.secrets
    logs = data / "logs"
    make_private(logs)
    make_private(data / "keys")
    servers.ports = chosen = ports.remembered(data / "ports.json", names=PORT_NAMES)
    environment.write_all(
        data / "env",
        addresses=environment.Addresses.on_loopback(chosen, web_port=web_port),
        secrets=secrets,
        data=data,
    )

    # SeaweedFS takes longest: the others come up while it does.
    weed = seaweedfs.process(data, ports=chosen, secrets=secrets, log=logs / "seaweedfs.log")
    valkey_password = secrets.get("valkey")
    broker = valkey.process(
        data, port=chosen["valkey"], password=valkey_password, log=logs / "valkey.log"
    )
    for process in (weed, broker):
        servers.processes.append(process)
        process.start()
    installation = postgresql.install(data, secrets)
    database = postgresql.process(
        installation,
        port=chosen["postgresql"],
        log=logs / "postgresql.log",
    )
    servers.processes.append(database)
    database.start()
    _announce(servers, ready=False)

    password = secrets.get("postgresql-superuser")
    address = f"127.0.0.1:{chosen['postgresql']}"
    with timed(report, "PostgreSQL"):
        database.wait_until(
            lambda: postgresql.answers(address, password=password),
            timeout_seconds=postgresql.START_SECONDS,
        )
        postgresql.set_up(address, secrets=secrets)
    begun = _begin(servers, meanwhile) if meanwhile else None
    with timed(report, "Valkey"):
        broker.wait_until(
            lambda: valkey.answers(port=chosen["valkey"], password=valkey_password),
            timeout_seconds=valkey.START_SECONDS,
        )
    with timed(report, "SeaweedFS"):
        s3 = servers.s3(identities.ADMINISTRATOR)
        weed.wait_until(lambda: seaweedfs.answers(s3), timeout_seconds=seaweedfs.START_SECONDS)
        seaweedfs.set_up(s3)
    if begun:
        _finish(begun, servers, report)
    _announce(servers, ready=True)


@contextmanager
def timed(report: Report, name: str) -> Iterator[None]:
    """Report what was done and how many seconds it took, once it is done."""
    began = time.monotonic()
    yield
    report(f"{name} … {time.monotonic() - began:.1f} s")


def _announce(servers: Servers, *, ready: bool) -> None:
    pids = [process.pid for process in servers.processes]
    write_private(
        servers.data / "env" / "servers.json",
        json.dumps(
            {
                "ready": ready,
                "supervisor": os.getpid(),
                "ports": servers.ports,
                "pids": {process.name: process.pid for process in servers.processes},
                "started": {str(pid): start_time(pid) for pid in pids},
            },
            indent=2,
        )
        + "\n",
    )
