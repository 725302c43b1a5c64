"""Prepares servers that run elsewhere: secrets and environments first, then roles and buckets."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from config.servers import environment, identities, postgresql, seaweedfs, valkey
from config.servers.environment import Addresses
from config.servers.files import make_private, write_environment, write_private
from config.servers.passwords import Secrets
from config.servers.process import ServerDied

ADDRESSES = "addresses.json"
PRODUCT_DATA = Path("/var/lib/tallenne")


def prepare(folder: Path, addresses: Addresses) -> None:
    """
    Write what servers and processes need before they start; safe to repeat.

    Secrets that exist are kept. The folder then holds everything: it belongs in a vault.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make_private(folder)
    secrets = Secrets(folder / "secrets")
    write_private(folder / ADDRESSES, json.dumps(asdict(addresses), indent=2) + "\n")
    environment.write_all(
        folder / "env", addresses=addresses, secrets=secrets, data=PRODUCT_DATA, is_demo=False
    )
    superuser = {"POSTGRES_PASSWORD": secrets.get("postgresql-superuser")}
    write_environment(folder / "env" / "postgresql.env", superuser)
    for name in ("seaweedfs", "valkey"):
        make_private(folder / name)
    write_private(folder / "seaweedfs" / "s3.json", identities.configuration(secrets))
    write_environment(folder / "env" / "seaweedfs.env", seaweedfs.settings(secrets))
    write_private(
        folder / "valkey" / "valkey.conf",
        valkey.settings(port=6379, password=secrets.get("valkey"), bind="* -::*"),
    )


def set_up(folder: Path) -> None:
    """
    Make roles, database and buckets on the running servers; safe to repeat.

    Raises: ServerDied where a server does not answer, or a bucket exists without versions or
    Object Lock.
    """
    addresses = Addresses(**json.loads((folder / ADDRESSES).read_text()))
    secrets = Secrets(folder / "secrets")
    name = identities.ADMINISTRATOR
    administrator = seaweedfs.client(
        addresses.s3,
        access_key=identities.access_key(name, secrets),
        secret_key=identities.secret_key(name, secrets),
    )
    try:
        postgresql.set_up(addresses.postgresql, secrets=secrets)
        seaweedfs.set_up(administrator)
    except psycopg.OperationalError as error:
        raise ServerDied(f"PostgreSQL at {addresses.postgresql} does not answer.") from error
    except (BotoCoreError, ClientError) as error:
        raise ServerDied(f"The S3 store at {addresses.s3} does not answer: {error}") from error
