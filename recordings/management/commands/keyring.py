"""Copies of the keyring that two people open together: manage.py keyring escrow|restore|due."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from getpass import getpass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import DatabaseError

from audit import clock
from recordings.escrow import CopyDoesNotOpen
from recordings.keyring import FileKeyring, KeyringUnavailable
from recordings.operations import escrow

EXAMPLE = """
Example:
  manage.py keyring escrow --person anna.pem --person bertil.pem --person cilla.pem --to /mnt/safe
  manage.py keyring due /mnt/safe
  manage.py keyring restore keyring-20261127T020000Z.escrow --key anna.key --key bertil.key

With the environment of `keys`. A copy is opened by any two of the people whose public keys it was
made with; each makes a pair of keys once, and keeps the private one to herself:
  openssl genpkey -algorithm X25519 -aes-256-cbc -out anna.key
  openssl pkey -in anna.key -pubout -out anna.pem
A copy is to be destroyed KEYRING_ESCROW_KEPT_DAYS after it was made: `due` names those.
Exit code 0: done. 1: copies are due, or database or keyring cannot be reached. 2: wrong use.
"""


class Command(BaseCommand):
    """Copies the keyring, restores it, and says which copies are to go."""

    help = "Keep copies of the keyring that two people open together."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name the deeds and what each takes."""
        deeds = parser.add_subparsers(dest="deed", required=True)
        copying = deeds.add_parser("escrow", help="write a copy")
        copying.add_argument(
            "--person", action="append", type=Path, required=True, help="a public key (PEM)"
        )
        copying.add_argument("--to", type=Path, required=True, metavar="FOLDER")
        restoring = deeds.add_parser("restore", help="write missing keys from a copy")
        restoring.add_argument("copy", type=Path, metavar="FILE")
        restoring.add_argument(
            "--key", action="append", type=Path, required=True, help="a private key (PEM), twice"
        )
        listing = deeds.add_parser("due", help="list copies and which are to be destroyed")
        listing.add_argument("folder", type=Path, metavar="FOLDER")
        for deed in (copying, restoring, listing):
            deed.add_argument("--json", action="store_true", help="one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Do one deed, and say what became of it."""
        deeds = {"escrow": self._copy, "restore": self._restore, "due": self._list}
        try:
            deeds[options["deed"]](options)
        except (KeyringUnavailable, CopyDoesNotOpen) as error:
            raise CommandError(str(error)) from error
        except DatabaseError as error:
            raise CommandError("The database or its audit log cannot be written.") from error
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from error

    def _copy(self, options: dict[str, Any]) -> None:
        people = {path.stem: _public(path) for path in options["person"]}
        path = escrow.copy(
            keyring=FileKeyring.from_settings(),
            people=people,
            folder=options["to"],
            now=clock.now(),
        )
        self._say(options, {"copy": str(path)}, f"Any two of {', '.join(people)} open {path}.")

    def _restore(self, options: dict[str, Any]) -> None:
        done = escrow.restore(
            data=options["copy"].read_bytes(),
            private_keys=[_private(path) for path in options["key"]],
            keyring=FileKeyring.from_settings(),
            now=clock.now(),
        )
        counts = {name: len(getattr(done, name)) for name in ("restored", "there", "destroyed")}
        self._say(
            options,
            counts,
            f"{counts['restored']} keys restored, {counts['there']} there already, "
            f"{counts['destroyed']} left out: destroyed since the copy was made.",
        )

    def _list(self, options: dict[str, Any]) -> None:
        now = clock.now()
        found = escrow.kept(folder=options["folder"])
        due = [each for each in found if each.due_at <= now]
        lines = [
            f"{each.path.name}  made {each.made_at:%Y-%m-%d}  "
            + ("destroy it now" if each in due else f"until {each.due_at:%Y-%m-%d}")
            for each in found
        ]
        said = {"copies": len(found), "due": [each.path.name for each in due]}
        self._say(options, said, "\n".join(lines) or "No copies.")
        if due:
            raise SystemExit(1)

    def _say(self, options: dict[str, Any], said: dict[str, Any], text: str) -> None:
        self.stdout.write(json.dumps(said) if options["json"] else text)


def _public(path: Path) -> X25519PublicKey:
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, X25519PublicKey):
        raise CommandError(f"{path} is no public key of X25519.", returncode=2)
    return key


def _private(path: Path) -> X25519PrivateKey:
    data = path.read_bytes()
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        # It has a passphrase.
        key = load_pem_private_key(data, password=getpass(f"Passphrase of {path.name}: ").encode())
    if not isinstance(key, X25519PrivateKey):
        raise CommandError(f"{path} is no private key of X25519.", returncode=2)
    return key
