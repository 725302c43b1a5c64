"""An SFTP server of a test's own: OpenSSH's, unprivileged or as root, on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.servers.ports import choose
from config.servers.process import Process

START_SECONDS = 20


@dataclass(slots=True)
class SftpServer:
    """The server's process, the folder it takes files into, and what its clients are told."""

    process: Process
    port: int
    folder: Path
    key_file: Path
    known_hosts_file: Path

    @property
    def settings(self) -> dict[str, str]:
        """What a process that delivers there is told."""
        return {
            "AUDIT_EXPORT_TO": f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{self.folder}",
            "AUDIT_EXPORT_KEY_FILE": str(self.key_file),
            "AUDIT_EXPORT_KNOWN_HOSTS_FILE": str(self.known_hosts_file),
        }

    def files(self) -> list[Path]:
        """Give the files that lie there, by name."""
        return sorted(self.folder.iterdir())


@contextmanager
def serving(home: Path, *, command: str = "internal-sftp") -> Iterator[SftpServer]:
    """Have a server while the context lasts; other commands than its own do not speak SFTP."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("OpenSSH's server is not installed (on Debian: apt-get install openssh-server)")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    home.mkdir()
    folder = home / "received"
    folder.mkdir()
    for name in ("host", "client", "other"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True
        )
    port = choose(taken=())
    (home / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {home / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {home / 'client.pub'}\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"Subsystem sftp internal-sftp\nForceCommand {command}\n"
    )
    host_key = (home / "host.pub").read_text()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    process = Process(
        name="sshd",
        command=[program, "-D", "-e", "-f", home / "config"],
        log=home / "log",
        environment={"PATH": os.environ["PATH"]},
        folder=home,
    )
    process.start()
    try:
        process.wait_until(lambda: _answers(port), timeout_seconds=START_SECONDS)
        yield SftpServer(process, port, folder, home / "client", home / "known_hosts")
    finally:
        process.stop()


def _answers(port: int) -> bool:
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
            return True
    except OSError:
        return False
