"""Receivers of the log as a SIEM has them: rsyslog over TLS, and an HTTPS server."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from audit import clock
from config.servers import ports

RSYSLOGD = shutil.which("rsyslogd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
needs_rsyslog = pytest.mark.skipif(
    RSYSLOGD is None, reason="rsyslog is missing: apt-get install rsyslog rsyslog-openssl"
)
PATIENCE_SECONDS = 20
CLIENT = "tallenne.example"
BOM = "\ufeff"


class Authority:
    """A certificate authority of a test's own."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._certificate(name, self._key, san=None))

    def server(self, host: str = "localhost") -> tuple[Path, Path]:
        """Give certificate and key of a server with that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self._folder / f"{self._name}-{host}.pem"
        path.write_bytes(self._certificate(host, key, san=host))
        private = path.with_suffix(".key")
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path, private

    def _certificate(self, name: str, key: ec.EllipticCurvePrivateKey, *, san: str | None) -> bytes:
        now, is_authority = clock.now(), san is None
        made = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, path_length=None), critical=True)
            .add_extension(_usage(is_authority=is_authority), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if san:
            made = made.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(san)]), critical=False
            )
        return made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    """Give what Python 3.13 and newer demand of certificates."""
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def wait_until(fact: object, *, what: str) -> None:
    """Wait for something to be true. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError(f"In vain: {what}")
        time.sleep(0.02)


@dataclass(slots=True)
class Message:
    """One line that rsyslog wrote: what it made of the message."""

    priority: int
    app: str
    message_id: str
    structured_data: str
    body: str


@dataclass(slots=True)
class Rsyslog:
    """
    Debian's rsyslogd with its OpenSSL driver, which can be killed and started again.

    It takes messages from whoever shows a certificate of its authority for `tallenne.example`.
    """

    folder: Path
    authority: Authority
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        """Where it writes."""
        return self.folder / "received"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        certificate, key = self.authority.server()
        configuration = self.folder / "rsyslog.conf"
        configuration.write_text(f"""
global(workDirectory="{self.folder}" maxMessageSize="128k" defaultNetstreamDriver="ossl"
    defaultNetstreamDriverCAFile="{self.authority.ca}"
    defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1"
    streamDriver.authMode="x509/name" permittedPeer=["{CLIENT}"])
input(type="imtcp" port="{self.port}" address="127.0.0.1" ruleset="audit")
template(name="line" type="string"
    string="%pri% %app-name% %msgid% %structured-data% %msg%\\n")
ruleset(name="audit") {{
    action(type="omfile" file="{self.file}" template="line")
}}
""")
        assert RSYSLOGD
        with (self.folder / "rsyslog.log").open("ab") as said:
            self.process = subprocess.Popen(
                [RSYSLOGD, "-n", "-iNONE", "-f", str(configuration)], stdout=said, stderr=said
            )
        wait_until(self._listens, what="rsyslogd listens")

    def kill(self) -> None:
        """End it as a power cut would; a line not written to its end has not arrived."""
        assert self.process
        self.process.kill()
        self.process.wait()
        if self.file.exists():
            content = self.file.read_bytes()
            self.file.write_bytes(content[: content.rfind(b"\n") + 1])

    def messages(self) -> list[Message]:
        """Give what it has written."""
        found = []
        for line in self._text().split("\n")[:-1]:
            head, _bom, body = line.partition(BOM)
            priority, app, message_id, data = head.strip().split(" ", 3)
            found.append(Message(int(priority), app, message_id, data, body))
        return found

    def count(self) -> int:
        """Count the lines it has written."""
        return self._text().count("\n")

    def _text(self) -> str:
        return self.file.read_text(encoding="utf-8") if self.file.exists() else ""

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@contextmanager
def rsyslog(folder: Path, authority: Authority) -> Iterator[Rsyslog]:
    """Give a running rsyslogd, which ends with the context."""
    folder.mkdir()
    receiver = Rsyslog(folder, authority, ports.choose(taken=()))
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.kill()


@dataclass(slots=True)
class Post:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    content: bytes

    @property
    def events(self) -> list[str]:
        """The identifiers of its events, in their order."""
        return [json.loads(line)["id"] for line in self.content.decode().splitlines()]


@dataclass(slots=True)
class Collector:
    """An HTTPS server that answers what it was told to, then 200."""

    port: int
    answers: list[int | str] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    taken: list[Post] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def collector(certificate: tuple[Path, Path], *answers: int | str) -> Iterator[Collector]:
    """
    Give a running HTTPS server; each answer is for one post.

    `drop` reads and hangs up, `hang` never answers; a number is a status, 503 says Retry-After.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            post = Post(self.path, dict(self.headers), content)
            made.posts.append(post)
            answer = made.answers.pop(0) if made.answers else 200
            if answer == "hang":
                made.is_over.wait()
            if isinstance(answer, str):
                self.close_connection = True
                return
            if answer < 300:
                made.taken.append(post)
            self.send_response(answer)
            if answer == 503:
                self.send_header("Retry-After", "1")
            if answer == 302:
                self.send_header("Location", f"https://localhost:{made.port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_who: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        made = Collector(server.server_address[1], list(answers))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield made
        finally:
            made.is_over.set()
            server.shutdown()
            thread.join()
