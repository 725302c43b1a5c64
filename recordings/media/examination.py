"""Has recordings decoded by a child process with limits, and takes its word for nothing else."""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from recordings.media.kinds import RENDITION_EXTENSION, RENDITION_MEDIATYPE
from recordings.media.limits import ANSWER_BYTES, allowed_seconds

PROJECT = Path(__file__).resolve().parents[2]
# The child ends a recording that takes too long by itself; this much later we end the child.
GRACE_SECONDS = 5.0
START_SECONDS = 30.0
MAX_SECONDS = 24 * 3600
# What a declared duration may be off: senders count whole seconds, and ringing.
TOLERATED_SECONDS = 1.0
TOLERATED_SHARE = 0.02


def gettext_noop(sentence: str) -> str:
    """Mark a sentence for translation; Django's own would cost the child its quick start."""
    return sentence


SENTENCES = {
    "empty": gettext_noop("The file is empty."),
    "unknown": gettext_noop("The file is not a sound recording of a known kind."),
    "silent": gettext_noop("The file holds no sound that can be decoded."),
    "damaged": gettext_noop("The sound is damaged and cannot be decoded to its end."),
    "codec": gettext_noop("The sound is coded in a way that is not supported."),
    "long": gettext_noop("The sound is longer than 24 hours."),
    "slow": gettext_noop("Decoding the sound took too long and was stopped."),
    "memory": gettext_noop("Decoding the sound took too much memory and was stopped."),
    "crashed": gettext_noop("Decoding the sound failed and was stopped."),
}


class NotPlayable(Exception):
    """What was given is no recording that can be listened to; its sentence is one of SENTENCES."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Examined:
    """
    What a recording is, found by decoding all of it.

    `duration_seconds` is what was decoded, `claimed_duration_seconds` what the file's header says.
    `peaks` is packed, see `peaks_by_channel`. Where browsers do not play the recording itself,
    `playable_path` is a rendition in `workdir` that they play; the caller removes it.
    """

    duration_seconds: float
    sample_rate: int
    channels: int
    codec: str
    container: str
    mediatype: str
    claimed_duration_seconds: float | None
    peaks: bytes
    playable_path: Path | None
    playable_mediatype: str | None


def differs(declared: float | None, decoded: float) -> bool:
    """Whether a declared duration in seconds is too far from the decoded one to be rounding."""
    if declared is None:
        return False
    if not math.isfinite(declared):
        return True
    return abs(declared - decoded) > max(TOLERATED_SECONDS, TOLERATED_SHARE * decoded)


class Examiner:
    """
    A child process that examines recordings one after the other, each in a fork of its own.

    The child has the decoders loaded, so that a fork costs milliseconds; limits hold for each
    recording. A child that fails is replaced. For one thread; `examine` keeps one for each.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def examine(
        self,
        path: Path,
        *,
        name: str,
        mediatype: str | None,
        codec_hint: str | None,
        sample_rate_hint: int | None,
        channels_hint: int | None,
        workdir: Path,
    ) -> Examined:
        """
        Decode the file at `path`, whose sender called it `name`.

        The hints are the sender's; they count only for kinds that do not say what they are. A
        rendition, if one is needed, is written into `workdir`, which has to be there.

        Raises NotPlayable.
        """
        seconds = allowed_seconds(path.stat().st_size)
        rendition = workdir.absolute() / f"{secrets.token_hex(16)}.{RENDITION_EXTENSION}"
        request = {
            "path": str(path.absolute()),
            "rendition": str(rendition),
            "seconds": seconds,
            "name": name,
            "mediatype": mediatype,
            "codec_hint": codec_hint,
            "sample_rate_hint": sample_rate_hint,
            "channels_hint": channels_hint,
        }
        try:
            answer = self._ask(request, timeout_seconds=seconds + GRACE_SECONDS)
            reason = answer.get("reason")
            if reason is None:
                return _examined(answer, rendition)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.close()
            rendition.unlink(missing_ok=True)
            raise NotPlayable(SENTENCES["crashed"]) from error
        rendition.unlink(missing_ok=True)
        raise NotPlayable(SENTENCES.get(reason, SENTENCES["crashed"]))

    def close(self) -> None:
        """End the child; the next recording starts another."""
        child, self._child = self._child, None
        if child is not None and self._owner == os.getpid():
            _end(child)

    def _ask(self, request: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        child = self._started()
        if child.stdin is None or child.stdout is None:
            raise OSError("The child has no pipes.")
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        answer = json.loads(_line(child.stdout.fileno(), timeout_seconds=timeout_seconds))
        if not isinstance(answer, dict):
            raise TypeError("The child's answer is no object.")
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():
            # We were forked: the child and its pipes belong to our parent.
            self._child, self._owner = None, os.getpid()
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(
                [sys.executable, "-m", "recordings.media.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=PROJECT,
                # No key, address or password of ours reaches what decodes strangers' files.
                env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
            weakref.finalize(self, _end_if_ours, self._child, os.getpid())
            child_output = self._child.stdout
            if child_output is None or _line(child_output.fileno(), START_SECONDS) != b"ready":
                raise OSError("The child did not start.")
        return self._child


_examiners = threading.local()


def examine(
    path: Path,
    *,
    name: str,
    mediatype: str | None,
    codec_hint: str | None,
    sample_rate_hint: int | None,
    channels_hint: int | None,
    workdir: Path,
) -> Examined:
    """Examine a recording with this thread's examiner; see `Examiner.examine`."""
    examiner: Examiner | None = getattr(_examiners, "examiner", None)
    if examiner is None:
        examiner = _examiners.examiner = Examiner()
    return examiner.examine(
        path,
        name=name,
        mediatype=mediatype,
        codec_hint=codec_hint,
        sample_rate_hint=sample_rate_hint,
        channels_hint=channels_hint,
        workdir=workdir,
    )


def _examined(answer: dict[str, Any], rendition: Path) -> Examined:
    """The answer, distrusted: the child has just decoded a stranger's file."""
    duration = float(answer["duration_seconds"])
    if not 0 < duration < MAX_SECONDS:
        raise ValueError("The duration is out of bounds.")
    claimed = answer["claimed_duration_seconds"]
    claimed = float(claimed) if claimed is not None and math.isfinite(claimed) else None
    has_rendition = answer["has_rendition"] is True
    if has_rendition and (rendition.is_symlink() or not rendition.is_file()):
        raise ValueError("The rendition is not there.")
    return Examined(
        duration_seconds=duration,
        sample_rate=int(answer["sample_rate"]),
        channels=int(answer["channels"]),
        codec=str(answer["codec"])[:40],
        container=str(answer["container"])[:40],
        mediatype=str(answer["mediatype"])[:80],
        claimed_duration_seconds=claimed,
        peaks=_peaks(answer["peaks"]),
        playable_path=rendition if has_rendition else None,
        playable_mediatype=RENDITION_MEDIATYPE if has_rendition else None,
    )


def _peaks(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("The peaks are no base64.") from error


def _line(descriptor: int, timeout_seconds: float) -> bytes:
    """The next line from a pipe. Raises OSError when it ends, is late or is too long."""
    deadline = time.monotonic() + timeout_seconds
    received = bytearray()
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 65536) if ready else b""
        if not chunk or len(received) > ANSWER_BYTES:
            raise OSError("The child does not answer.")
        received += chunk
    return bytes(received[:-1])


def _end(child: subprocess.Popen[bytes]) -> None:
    # It leads a process group of its own, with the fork that decodes.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _end_if_ours(child: subprocess.Popen[bytes], owner: int) -> None:
    if owner == os.getpid() and child.returncode is None:
        _end(child)
