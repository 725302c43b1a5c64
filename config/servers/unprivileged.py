"""Which account PostgreSQL runs as when we are root, and where its files may then lie."""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from pathlib import Path

from config.servers.process import Account

ACCOUNT_NAME = "nobody"
OUTSIDE = Path("/var/lib")
POINTER = "postgresql.path"


def account() -> Account | None:
    """Give the account to step down to, or None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(ACCOUNT_NAME)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def is_reachable(folder: Path) -> bool:
    """Say whether any account may enter the folder, all the way from the root."""
    return all(
        parent.stat().st_mode & stat.S_IXOTH for parent in [folder, *folder.resolve().parents]
    )


def home(data: Path, *, step_down_to: Account | None) -> Path:
    """
    Give the folder of PostgreSQL's binaries and data, made and owned as needed.

    It lies in `data`; where the account cannot enter that (a clone under /root), it lies under
    /var/lib instead, and the file `postgresql.path` in `data` names it.
    """
    folder = data / "postgresql"
    pointer = data / POINTER
    if step_down_to and not is_reachable(data):
        mark = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
        folder = OUTSIDE / f"tallenne-{mark}"
        pointer.write_text(f"{folder}\n")
    else:
        pointer.unlink(missing_ok=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if step_down_to:
        os.chown(folder, step_down_to.uid, step_down_to.gid)
    folder.chmod(0o700)
    return folder
