"""The child process that decodes: reads requests, forks for each, answers in JSON; no Django."""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, BinaryIO, NoReturn

from recordings.media import limits


def main() -> None:
    """Answer one line for each line until there are no more."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not be taken for an answer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    # Loaded once, before the forks.
    import av

    av.logging.set_level(None)
    # Forks share what is loaded as long as nobody walks over it.
    gc.freeze()
    _answer(answers, b"ready")
    for line in requests:
        request: dict[str, Any] = json.loads(line)
        _answer(answers, _examined_in_fork(request) or b'{"reason": "crashed"}')


def _answer(answers: BinaryIO, line: bytes) -> None:
    answers.write(line + b"\n")
    answers.flush()


def _examined_in_fork(request: dict[str, Any]) -> bytes:
    receiving, sending = os.pipe()
    fork = os.fork()
    if fork == 0:
        os.close(receiving)
        _decode_and_exit(request, sending)
    os.close(sending)
    try:
        received = _read_until(receiving, time.monotonic() + request["seconds"])
    finally:
        os.close(receiving)
    if received is None:
        os.kill(fork, signal.SIGKILL)
    _, status = os.waitpid(fork, 0)
    if received is None:
        return b'{"reason": "slow"}'
    if os.WIFSIGNALED(status):
        is_slow = os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGALRM}
        return b'{"reason": "slow"}' if is_slow else b""
    return received


def _read_until(descriptor: int, deadline: float) -> bytes | None:
    """All there is to read; None if it does not end before the deadline, or has no end."""
    received = bytearray()
    while len(received) <= limits.ANSWER_BYTES:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return bytes(received)
        received += chunk
    return None


def _decode_and_exit(request: dict[str, Any], sending: int) -> NoReturn:
    from recordings.media.decoding import Undecodable, decode

    # The pipes to our own process are not for what decodes strangers' files.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, sending)
    os.closerange(sending + 1, 1024)
    seconds = int(request["seconds"]) + 1
    # Should the process that waits for us be killed, nobody else would end us.
    signal.alarm(seconds)
    for limit, value in (
        (resource.RLIMIT_AS, limits.MEMORY_BYTES),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits.WRITTEN_BYTES),
        (resource.RLIMIT_NOFILE, limits.OPEN_FILES),
        # A core dump would hold what was said.
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    try:
        answer = decode(request)
    except Undecodable as error:
        answer = {"reason": str(error)}
    except MemoryError:
        answer = {"reason": "memory"}
    # Whatever else a hostile file brings about is an answer too.
    except Exception:  # noqa: BLE001
        answer = {"reason": "crashed"}
    with os.fdopen(sending, "wb") as pipe:
        pipe.write(json.dumps(answer).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
