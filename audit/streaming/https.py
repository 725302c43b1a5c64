"""Events by HTTPS: one body a line, in posts that a receiver confirms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, SSLError

from audit.streaming.destinations import CredentialsUnusable, Destination
from audit.streaming.following import Stretch
from audit.streaming.senders import ANSWER_SECONDS, CONNECT_SECONDS, NotDelivered

LONGEST_RETRY_AFTER_SECONDS = 3600.0
LARGEST_ANSWER_BYTES = 65_536


class HttpsSender:
    """Sends each stretch as one post, which has arrived when the answer is 2xx."""

    events = 1_000
    largest_bytes = 1024 * 1024

    def __init__(self, destination: Destination) -> None:
        self._to = destination

    def deliver(self, stretches: Sequence[Stretch]) -> Iterator[Stretch]:
        """Post them one by one; gives each when it was taken. Raises NotDelivered."""
        try:
            tls, headers = self._to.tls(), self._authorization()
        except (OSError, ValueError, CredentialsUnusable) as error:
            raise NotDelivered("credentials") from error
        with urllib3.HTTPSConnectionPool(
            self._to.host,
            self._to.port,
            ssl_context=tls,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS),
            retries=False,
        ) as pool:
            for stretch in stretches:
                self._post(pool, stretch, headers)
                yield stretch

    def _authorization(self) -> dict[str, str]:
        if self._to.authorization is None:
            return {}
        value = self._to.authorization.read_text(encoding="ascii").strip()
        if not value.isprintable():
            raise ValueError("The header is one line.")
        return {"Authorization": value}

    def _post(
        self, pool: urllib3.HTTPSConnectionPool, stretch: Stretch, headers: dict[str, str]
    ) -> None:
        content = "".join(event.line + "\n" for event in stretch.events).encode()
        try:
            answer = pool.request(
                "POST",
                self._to.path,
                body=content,
                headers={
                    "Content-Type": "application/x-ndjson",
                    "Idempotency-Key": f'"{_key(stretch, content)}"',
                    **headers,
                },
                redirect=False,
                preload_content=False,
            )
            answer.read(LARGEST_ANSWER_BYTES)
            answer.close()
        except SSLError as error:
            raise NotDelivered("tls.refused") from error
        except (HTTPError, OSError) as error:
            raise NotDelivered("unreachable") from error
        if not 200 <= answer.status < 300:
            raise NotDelivered(
                f"http.{answer.status}", retry_after_seconds=_retry_after(answer.headers)
            )


def _key(stretch: Stretch, content: bytes) -> str:
    # With the digest: after a restored backup the log gives the same places to other events.
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{stretch.log}:{stretch.first}-{stretch.until}:{digest}"


def _retry_after(headers: urllib3.HTTPHeaderDict) -> float:
    said = headers.get("Retry-After")
    if said is None:
        return 0.0
    try:
        wanted = urllib3.Retry().parse_retry_after(said)
    except InvalidHeader:
        return 0.0
    return min(wanted, LONGEST_RETRY_AFTER_SECONDS)
