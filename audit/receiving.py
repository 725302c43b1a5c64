"""Where whole months of the log are delivered: a bucket or an SFTP server, by setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.functional import Promise
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

REASONS: dict[str, Promise | str] = {
    "unavailable": _("The receiver does not answer. It is tried again."),
    "refused": _("The receiver refuses to take it. Look at its folder, rights and free space."),
    "unknown_host": _(
        "The receiver's host key is not the one in AUDIT_EXPORT_KNOWN_HOSTS_FILE. Ask the receiver "
        "whether it was changed before you change the file."
    ),
    "key_refused": _(
        "The receiver does not accept the key in AUDIT_EXPORT_KEY_FILE. Give it the public half."
    ),
    "occupied": _(
        "Another file lies under the name at the receiver. Nothing is overwritten: move it away."
    ),
    "damaged": _("What arrived is not what was sent. It is tried again."),
    "misconfigured": _("The settings of the monthly export are wrong. See how to deploy."),
    "not_sealed": _("The log is not being sealed. Does manage.py seal_audit run?"),
    "tree_incomplete": _("The log's tree was altered. See manage.py audit verify."),
    "work_folder": _("The folder AUDIT_EXPORT_WORK_DIR cannot be used. Look at its disk."),
    "unlogged": _("The database does not take what is to be logged."),
}


class NotReceived(Exception):
    """A month was not delivered, for a reason fit to show; `reason` is its code in REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


class Receiver(Protocol):
    """Takes files whole, and never overwrites one."""

    def deliver(self, path: Path, name: str) -> str:
        """
        Bring a file there under a name, see that it arrived, and give its address.

        It bears the name only when it is whole. The same file under the name is taken for what an
        earlier try has brought.

        Raises NotReceived; OSError if the file cannot be read.
        """


def receiver() -> Receiver:
    """Give the receiver that the setting AUDIT_EXPORT_TO names. Raises NotReceived."""
    try:
        url = urlsplit(settings.AUDIT_EXPORT_TO)
        host, port = url.hostname or "", url.port or 22
    except ValueError as error:
        raise NotReceived("misconfigured") from error
    if url.scheme == "s3" and host and url.netloc == host:
        made = cast(Callable[..., Receiver], import_string(settings.AUDIT_EXPORT_STORE))
        return made(bucket=host, prefix=url.path.strip("/"))
    if url.scheme == "sftp" and host and url.username and url.password is None:
        # Loading it takes a tenth of a second, which nobody else needs.
        from audit.sftp import SftpReceiver

        return SftpReceiver.from_settings(
            host=host, port=port, user=url.username, folder=url.path.rstrip("/")
        )
    raise NotReceived("misconfigured")
