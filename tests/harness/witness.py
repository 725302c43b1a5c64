"""A witness as C2SP tlog-witness describes it, on a socket of its own; and how it can fail."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from audit import verify


class TestWitness:
    """Remembers the newest head it cosigned of each log it knows."""

    __test__ = False

    def __init__(self, name: str, url: str = "") -> None:
        self.name, self.url = name, url
        self.key = self.signer = Ed25519PrivateKey.generate()
        self.known: dict[str, list[str]] = {}  # public keys by origin
        self.heads: dict[str, verify.Checkpoint] = {}
        self.asked: list[int] = []  # the old sizes
        self.ahead_seconds = 0
        self.hangs = threading.Event()
        self.is_over = threading.Event()
        self.garbage: tuple[int, bytes] | None = None
        self._lock = threading.Lock()

    @property
    def vkey(self) -> str:
        key = b"\x04" + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"{self.name}+{self._key_id(key).hex()}+{base64.b64encode(key).decode()}"

    def cosign(self, note: str) -> str:
        seconds = int(time.time()) + self.ahead_seconds
        text = note.rpartition("\n\n")[0] + "\n"
        signed = self.signer.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
        key = b"\x04" + self.signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        line = base64.b64encode(self._key_id(key) + seconds.to_bytes(8, "big") + signed).decode()
        return f"— {self.name} {line}\n"

    def answer(self, body: str) -> tuple[int, str, str]:
        """Give status, content type and body."""
        question, _, note = body.partition("\n\n")
        old_line, *proof = question.split("\n")
        word, _, old_text = old_line.partition(" ")
        if word != "old" or not old_text.isdigit() or str(int(old_text)) != old_text:
            return 400, "text/plain", "bad\n"
        old = int(old_text)
        head = verify.parse_checkpoint(note)
        if head.origin not in self.known:
            return 404, "text/plain", "unknown\n"
        try:
            verify.open_note(note, self.known[head.origin])
        except (verify.Incomplete, verify.Tampered):
            return 403, "text/plain", "no signature\n"
        if old > head.size or len(proof) > 63:
            return 400, "text/plain", "bad\n"
        with self._lock:
            self.asked.append(old)
            seen = self.heads.get(head.origin)
            if old != (seen.size if seen else 0):
                return 409, "text/x.tlog.size", f"{seen.size if seen else 0}\n"
            if seen and old == head.size and seen.root != head.root:
                return 409, "text/plain", "another root\n"
            try:
                steps = [verify.decode(step) for step in proof]
                before = seen.root if seen else verify.EMPTY_ROOT
                verify.check_consistency(old, head.size, steps, before, head.root)
            except verify.Tampered:
                return 422, "text/plain", "inconsistent\n"
            self.heads[head.origin] = head
            other = TestWitness("other.example")
            return 200, "text/plain", other.cosign(note) + self.cosign(note)

    def _key_id(self, key: bytes) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + key).digest()[:4]


@contextmanager
def running(name: str = "witness.example/w1") -> Iterator[TestWitness]:
    """Let one run."""
    witness = TestWitness(name)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path != "/w/add-checkpoint":
                self.send_error(410)
                return
            if witness.hangs.is_set():
                # Its head, and then a byte now and again.
                self.send_response(200)
                self.end_headers()
                while not witness.is_over.wait(0.02):
                    self.wfile.write(b"x")
                return
            if witness.garbage is not None:
                status, content = witness.garbage
                content_type = "text/plain"
            else:
                status, content_type, text = witness.answer(body)
                content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    witness.url = f"http://127.0.0.1:{server.server_port}/w"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name=name)
    thread.start()
    try:
        yield witness
    finally:
        witness.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()
