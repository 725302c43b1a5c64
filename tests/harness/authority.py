"""A time-stamping authority: OpenSSL's, on a socket of its own; and how it can fail."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CONFIGURATION = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
"""


class TestAuthority:
    """Stamps what it is asked for, unless told to do something else."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.url = folder, ""
        self.certificate = folder / "ca.pem"
        self.asked = 0
        self.instead: list[str] | None = None  # arguments of openssl ts -query
        self.status = 200
        self.garbage: bytes | None = None
        self.hangs = threading.Event()
        self.is_over = threading.Event()
        self._lock = threading.Lock()
        (folder / "serial").write_text("01\n")
        (folder / "conf").write_text(CONFIGURATION.format(folder=folder))
        authority, authority_key = _certify(None, None, "Test CA")
        certificate, key = _certify(authority, authority_key, "Test TSA")
        self.certificate.write_bytes(authority.public_bytes(Encoding.PEM))
        (folder / "tsa.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / "tsa.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )

    def answer(self, query: bytes) -> bytes:
        with self._lock:
            self.asked += 1
            asked = self.folder / "query.tsq"
            asked.write_bytes(query)
            if self.instead is not None:
                digest = query[query.index(b"\x04\x20") + 2 :][:32].hex()
                arguments = [one.format(digest=digest) for one in self.instead]
                self._openssl("-query", "-sha256", "-cert", *arguments, "-out", str(asked))
            answered = self.folder / "reply.tsr"
            self._openssl(
                "-reply",
                "-config",
                str(self.folder / "conf"),
                "-queryfile",
                str(asked),
                "-out",
                str(answered),
            )
            return answered.read_bytes()

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", "ts", *arguments], check=True, capture_output=True)


def _certify(
    issuer: x509.Certificate | None, issuer_key: rsa.RSAPrivateKey | None, name: str
) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer_key or key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True
        )
    return builder.sign(signer, hashes.SHA256()), key


@contextmanager
def running(folder: Path) -> Iterator[TestAuthority]:
    """Let one run."""
    authority = TestAuthority(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            if authority.hangs.is_set():
                authority.is_over.wait()
                self.close_connection = True
                return
            content = authority.garbage
            if content is None:
                content = authority.answer(query)
            self.send_response(authority.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    authority.url = f"http://127.0.0.1:{server.server_port}/tsa"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="tsa")
    thread.start()
    try:
        yield authority
    finally:
        authority.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()
