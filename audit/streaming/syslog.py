"""Syslog as RFC 5424 writes it, over TLS as RFC 5425 carries it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from datetime import UTC
from urllib.parse import urlsplit

from django.conf import settings

from audit.streaming.destinations import CredentialsUnusable, Destination
from audit.streaming.following import Sealed, Stretch
from audit.streaming.senders import ANSWER_SECONDS, CONNECT_SECONDS, NotDelivered

FACILITY = 13  # log audit
SEVERITIES = {"allow": 6, "deny": 4}  # informational, warning
_ERROR = 3
APP_NAME = "tallenne"
# The enterprise number that RFC 5612 keeps for examples: the project has none of its own.
STRUCTURED_DATA_ID = "tallenne@32473"
BYTES_AT_ONCE = 65_536
_BOM = "\ufeff"


def frame(event: Sealed, *, log: str) -> bytes:
    """Give one event as it goes over the wire: its length, then the message."""
    text = message(event, log=log).encode()
    return b"%d %s" % (len(text), text)


def message(event: Sealed, *, log: str) -> str:
    """Give one event as a syslog message, whose text is the body."""
    priority = FACILITY * 8 + SEVERITIES.get(event.outcome, _ERROR)
    host = _header(urlsplit(settings.BASE_URL).hostname or "", longest=255)
    at = event.happened_at.astimezone(UTC)
    said = {"id": str(event.event_id), "log": log, "leaf": str(event.leaf_index)}
    data = " ".join(f'{name}="{_escaped(value)}"' for name, value in said.items())
    return (
        f"<{priority}>1 {at:%Y-%m-%dT%H:%M:%S.%f}Z {host} {APP_NAME} - "
        f"{_header(event.event_type, longest=32)} [{STRUCTURED_DATA_ID} {data}] {_BOM}{event.line}"
    )


class SyslogSender:
    """
    Sends to a receiver that confirms nothing, so that what it lost is sent again all the same.

    Syslog knows no answer. What counts as arrived is what was written on a connection that lived on
    for `settle_seconds` and was then closed by both sides: RFC 5425 (4.4) has the receiver reply to
    our close_notify, which only the process that has read everything before it can do.
    """

    events = 5_000
    largest_bytes = 8 * 1024 * 1024

    def __init__(self, destination: Destination) -> None:
        self._to = destination

    def deliver(self, stretches: Sequence[Stretch]) -> Iterator[Stretch]:
        """Send them over one connection; gives them when it was closed. Raises NotDelivered."""
        with self._connected() as connection:
            try:
                for stretch in stretches:
                    frames = b"".join(frame(each, log=stretch.log) for each in stretch.events)
                    for start in range(0, len(frames), BYTES_AT_ONCE):
                        connection.sendall(frames[start : start + BYTES_AT_ONCE])
            except OSError as error:
                raise NotDelivered("broken") from error
            time.sleep(self._to.settle_seconds)
            _close(connection)
        yield from stretches

    def _connected(self) -> ssl.SSLSocket:
        try:
            context = self._to.tls()
        except CredentialsUnusable as error:
            raise NotDelivered("credentials") from error
        try:
            plain = socket.create_connection((self._to.host, self._to.port), CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise NotDelivered("unreachable") from error
        try:
            secured = context.wrap_socket(
                plain, server_hostname=self._to.host, suppress_ragged_eofs=False
            )
        except (OSError, ValueError) as error:
            plain.close()
            raise NotDelivered("tls.refused") from error
        secured.settimeout(ANSWER_SECONDS)
        return secured


def _close(connection: ssl.SSLSocket) -> None:
    """Have the receiver confirm that it has read everything. Raises NotDelivered."""
    try:
        connection.setblocking(False)
        try:
            # It says nothing: what there is to read is its end, before ours.
            connection.recv(1)
        except ssl.SSLWantReadError:
            connection.settimeout(ANSWER_SECONDS)
            connection.unwrap().close()
            return
    except OSError as error:
        raise NotDelivered("not_confirmed") from error
    raise NotDelivered("not_confirmed")


def _header(text: str, *, longest: int) -> str:
    """Give the text as a field of the header, which takes printable ASCII without spaces."""
    printable = "".join(letter if "!" <= letter <= "~" else "_" for letter in text)
    return printable[:longest] or "-"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
