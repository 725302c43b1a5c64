"""What each process is told: its addresses and the credentials it needs, and no others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from config.servers import identities, postgresql, seaweedfs
from config.servers.files import make_private, read_environment, write_environment
from config.servers.passwords import Secrets

ROLES = ("owner", "web", "work", "purge", "seal", "cut", "keys", "stream", "beat")

# Which S3 identities a role holds, by the prefix of their two variables.
S3_OF_ROLE = {
    "owner": (),
    "web": ("content", "anchor-read"),
    "work": ("content", "anchor-read", "export"),
    "purge": ("purge", "anchor", "anchor-read"),
    "seal": ("anchor", "anchor-read"),
    "cut": (),
    "keys": (),
    "stream": (),
    "beat": (),
}
LOGIN_OF_ROLE = {
    "owner": postgresql.OWNER,
    "web": "tallenne_web",
    "work": "tallenne_work",
    "purge": "tallenne_purge",
    "seal": "tallenne_seal",
    "cut": "tallenne_cut",
    "keys": "tallenne_keys",
    "stream": "tallenne_stream",
}
HOLDS_KEYRING = ("web", "work", "keys")

# Which role's environment a command of manage.py is given beside local servers.
ROLE_OF_COMMAND = {
    "migrate": "owner",
    "makemigrations": "owner",
    "grant": "owner",
    "set_up_sample_centre": "owner",
    "purge": "purge",
    "replay_destructions": "purge",
    "reconcile": "purge",
    "metrics": "purge",
    "seal_audit": "seal",
    "cut_audit": "cut",
    "destroy_keks": "keys",
    "keyring": "keys",
    "stream_audit": "stream",
}
ROLE_OF_OTHER_COMMANDS = "work"
# It lists as the purge does, and asks for legal holds as only the content identity may.
ASKS_BOTH_STORES = "reconcile"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers are, as `host:port` or URL, and where the product is found by browsers."""

    postgresql: str
    valkey: str
    s3: str
    base_url: str
    weed_master: str = ""

    @classmethod
    def on_loopback(cls, ports: Mapping[str, int], *, web_port: int) -> Addresses:
        """Give those of the local servers."""
        return cls(
            postgresql=f"127.0.0.1:{ports['postgresql']}",
            valkey=f"127.0.0.1:{ports['valkey']}",
            s3=seaweedfs.endpoint(ports),
            base_url=f"http://localhost:{web_port}",
            weed_master=seaweedfs.master(ports),
        )


def build(
    role: str, *, addresses: Addresses, secrets: Secrets, data: Path, is_demo: bool = True
) -> dict[str, str]:
    """Give the environment of one role; `data` is the folder of the keyring and other files."""
    values = {
        "BASE_URL": addresses.base_url,
        "ALLOWED_HOSTS": urlsplit(addresses.base_url).hostname or "",
        # Only the web signs what comes back from browsers.
        "SECRET_KEY": secrets.get("secret-key" if role == "web" else f"secret-key-{role}"),
        "DATABASE_URL": _database_url(role, addresses.postgresql, secrets),
        # The doorbell of the workers: what is to be done stands in the database.
        "REDIS_URL": f"redis://:{secrets.get('valkey')}@{addresses.valkey}/0",
        "DATA_DIR": str(data),
    }
    if is_demo:
        values |= {
            "DEMO": "true",
            "STATIC_ROOT": str(data / "static"),
            "PURGE_INTERVAL_SECONDS": "60",
        }
    if S3_OF_ROLE[role]:
        values |= {
            "S3_ENDPOINT_URL": addresses.s3,
            "S3_REGION": seaweedfs.REGION,
            "S3_CONTENT_BUCKET": identities.CONTENT_BUCKET,
            "S3_ANCHOR_BUCKET": identities.ANCHOR_BUCKET,
        }
    for name in S3_OF_ROLE[role]:
        prefix = f"S3_{name.upper().replace('-', '_')}"
        values[f"{prefix}_ACCESS_KEY"] = identities.access_key(name, secrets)
        values[f"{prefix}_SECRET_KEY"] = identities.secret_key(name, secrets)
    if role == "purge" and addresses.weed_master:
        values["SEAWEEDFS_MASTER_URL"] = addresses.weed_master
    if role in HOLDS_KEYRING:
        values["KEYRING_DIR"] = str(data / "keys")
    if role == "seal":
        values["AUDIT_SEAL_KEYS_DIR"] = str(data / "seal-keys")
    return values


def _database_url(role: str, server: str, secrets: Secrets) -> str:
    if role not in LOGIN_OF_ROLE:
        # An address without a login: beat asks no database.
        return f"postgresql://{server}/{postgresql.DATABASE}"
    login = LOGIN_OF_ROLE[role]
    return f"postgresql://{login}:{secrets.get(login)}@{server}/{postgresql.DATABASE}"


def write_all(
    folder: Path, *, addresses: Addresses, secrets: Secrets, data: Path, is_demo: bool = True
) -> None:
    """Write `<role>.env` for every role into the folder."""
    make_private(folder)
    for role in ROLES:
        values = build(role, addresses=addresses, secrets=secrets, data=data, is_demo=is_demo)
        write_environment(folder / f"{role}.env", values)


def load_for_command(command: str, data: Path) -> None:
    """Give this process the environment of the role the command runs as, where servers are ours."""
    folder = data / "env"
    path = folder / f"{ROLE_OF_COMMAND.get(command, ROLE_OF_OTHER_COMMANDS)}.env"
    if not path.exists():
        return
    os.environ.update(read_environment(path))
    if command == ASKS_BOTH_STORES:
        work = read_environment(folder / "work.env")
        os.environ.update({name: work[name] for name in work if name.startswith("S3_CONTENT_")})
