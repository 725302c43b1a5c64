"""Delivers files to an SFTP server whose host key is known, and never waits without end."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import paramiko
from django.conf import settings

from audit.receiving import NotReceived

CONNECT_SECONDS = 15.0
# A block that takes longer has met a server that hangs, or one too slow to be of use.
STALLED_SECONDS = 60.0
BLOCK_BYTES = 1024 * 1024
# What is said of a file of keys that is none, or that may not be read.
_UNREADABLE = (
    OSError,
    TypeError,
    ValueError,
    paramiko.SSHException,
    paramiko.hostkeys.InvalidHostKey,
    paramiko.pkey.UnknownKeyType,
)


class _Refuse(paramiko.MissingHostKeyPolicy):
    def missing_host_key(
        self,
        client: paramiko.SSHClient,
        hostname: str,
        key: paramiko.PKey,
    ) -> None:
        raise NotReceived("unknown_host")


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpReceiver:
    """A folder of an SFTP server, with the key that it knows us by."""

    host: str
    port: int
    user: str
    folder: str
    key_file: Path
    known_hosts_file: Path

    @classmethod
    def from_settings(cls, *, host: str, port: int, user: str, folder: str) -> Self:
        """Take the key and the host keys from the files the settings name. Raises NotReceived."""
        key_file = settings.AUDIT_EXPORT_KEY_FILE
        known_hosts_file = settings.AUDIT_EXPORT_KNOWN_HOSTS_FILE
        if key_file is None or known_hosts_file is None:
            raise NotReceived("misconfigured")
        if not (key_file.is_file() and known_hosts_file.is_file()):
            raise NotReceived("misconfigured")
        return cls(
            host=host,
            port=port,
            user=user,
            folder=folder,
            key_file=key_file,
            known_hosts_file=known_hosts_file,
        )

    def deliver(self, path: Path, name: str) -> str:
        """Do what `audit.receiving.Receiver` promises; written beside its name, read back."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        target = f"{self.folder}/{name}"
        with self._session() as session:
            found = session.digest(target)
            if found is None:
                session.write(path, f"{target}.part")
                if session.digest(f"{target}.part") != digest:
                    raise NotReceived("damaged")
                session.rename(f"{target}.part", target)
            elif found != digest:
                raise NotReceived("occupied")
        return f"sftp://{self.user}@{self.host}:{self.port}{target}"

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        client = paramiko.SSHClient()
        transport = None
        try:
            self._connect(client)
            transport = client.get_transport()
            assert transport is not None
            yield _Session.opened(transport)
        except paramiko.BadHostKeyException as error:
            raise NotReceived("unknown_host") from error
        except paramiko.AuthenticationException as error:
            raise NotReceived("key_refused") from error
        except (paramiko.SSHException, EOFError) as error:
            raise NotReceived("unavailable") from error
        except OSError as error:
            # What the server itself says no to leaves the connection standing.
            is_answer = transport is not None and transport.is_active()
            is_late = isinstance(error, TimeoutError)
            raise NotReceived("refused" if is_answer and not is_late else "unavailable") from error
        finally:
            client.close()

    def _connect(self, client: paramiko.SSHClient) -> None:
        try:
            client.load_system_host_keys(str(self.known_hosts_file))
            key = paramiko.PKey.from_path(self.key_file)
        except _UNREADABLE as error:
            raise NotReceived("misconfigured") from error
        client.set_missing_host_key_policy(_Refuse())
        client.connect(
            self.host,
            self.port,
            username=self.user,
            pkey=key,
            allow_agent=False,
            look_for_keys=False,
            timeout=CONNECT_SECONDS,
            banner_timeout=CONNECT_SECONDS,
            auth_timeout=CONNECT_SECONDS,
            channel_timeout=CONNECT_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class _Session:
    """An open connection; each step ends in time, or the connection is cut."""

    transport: paramiko.Transport
    sftp: paramiko.SFTPClient

    @classmethod
    def opened(cls, transport: paramiko.Transport) -> Self:
        with _cut_if_stalled(transport.close):
            sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        return cls(transport, sftp)

    def digest(self, name: str) -> bytes | None:
        """Read a file and give its SHA-256; None if there is none."""
        digest = hashlib.sha256()
        try:
            with self._in_time():
                file = self.sftp.open(name, "rb")
        except FileNotFoundError:
            return None
        with closing(file):
            while block := self._read(file):
                digest.update(block)
        return digest.digest()

    def write(self, path: Path, name: str) -> None:
        """Write a file anew."""
        with path.open("rb") as source:
            with self._in_time():
                file = self.sftp.open(name, "wb")
                file.set_pipelined(True)
            while block := source.read(BLOCK_BYTES):
                with self._in_time():
                    file.write(block)
            with self._in_time():
                file.close()

    def rename(self, name: str, other: str) -> None:
        """Give a file a name that no other has."""
        with self._in_time():
            self.sftp.rename(name, other)

    def _read(self, file: paramiko.SFTPFile) -> bytes:
        with self._in_time():
            return file.read(BLOCK_BYTES)

    def _in_time(self) -> AbstractContextManager[None]:
        return _cut_if_stalled(self.transport.close)


@contextmanager
def _cut_if_stalled(cut: Callable[[], object]) -> Iterator[None]:
    # A send to a peer that reads no more has no time limit in paramiko, on the socket or above it.
    timer = threading.Timer(STALLED_SECONDS, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
