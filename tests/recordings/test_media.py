"""Recordings are what decoding says they are, and hostile ones hurt nobody."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import struct
import time
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.audio.frame import AudioFrame

from recordings.media import (
    Examined,
    Examiner,
    NotPlayable,
    child,
    decoding,
    differs,
    examine,
    extension_of,
    kinds,
    limits,
    peaks,
    peaks_by_channel,
)
from recordings.media.examination import SENTENCES

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside us")
SLOWEST_SECONDS = 10


@pytest.fixture(scope="module")
def examiner() -> Iterator[Examiner]:
    with Examiner() as examiner:
        yield examiner


def hear(examiner: Examiner, path: Path, workdir: Path, **hints: Any) -> Examined:
    given: dict[str, Any] = {
        "name": path.name,
        "mediatype": None,
        "codec_hint": None,
        "sample_rate_hint": None,
        "channels_hint": None,
        **hints,
    }
    return examiner.examine(path, workdir=workdir, **given)


def tone(seconds: float, *, rate: int, channels: int) -> bytes:
    """A tone that is loud on the first channel, half as loud on the second; 16 bits."""
    loudness = [24_000 // (channel + 1) for channel in range(channels)]
    return b"".join(
        struct.pack("<h", int(level * math.sin(2 * math.pi * 440 * at / rate)))
        for at in range(int(seconds * rate))
        for level in loudness
    )


def write_wav(path: Path, seconds: float = 2.0, *, rate: int = 8_000, channels: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone(seconds, rate=rate, channels=channels))
    return path


def write_encoded(
    path: Path, *, container: str, codec: str, rate: int, channels: int, seconds: float = 2.0
) -> Path:
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(
            format=stream.format, layout=layout, rate=rate, frame_size=960
        )
        sound = AudioFrame(format="s16", layout=layout, samples=int(seconds * rate))
        sound.planes[0].update(tone(seconds, rate=rate, channels=channels))
        sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
        for frame in (*resampler.resample(sound), *resampler.resample(None)):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


class TestExamine:
    def test_says_what_a_recording_is(self, examiner, tmp_path):
        found = hear(examiner, write_wav(tmp_path / "call.wav"), tmp_path)

        assert found.duration_seconds == pytest.approx(2.0)
        assert (found.sample_rate, found.channels) == (8_000, 2)
        assert (found.codec, found.container, found.mediatype) == ("pcm_s16le", "wav", "audio/wav")
        assert found.claimed_duration_seconds == pytest.approx(2.0)
        assert (found.playable_path, found.playable_mediatype) == (None, None)

    @pytest.mark.parametrize(
        ("container", "codec", "rate", "channels", "mediatype"),
        [
            ("ogg", "libopus", 48_000, 2, "audio/ogg"),
            ("webm", "libopus", 48_000, 1, "audio/webm"),
            ("mp3", "libmp3lame", 8_000, 2, "audio/mpeg"),
            ("flac", "flac", 8_000, 2, "audio/flac"),
            ("ipod", "aac", 16_000, 1, "audio/mp4"),
        ],
    )
    def test_what_browsers_play_stays_as_it_is(
        self, examiner, tmp_path, container, codec, rate, channels, mediatype
    ):
        path = write_encoded(
            tmp_path / "call", container=container, codec=codec, rate=rate, channels=channels
        )

        found = hear(examiner, path, tmp_path)

        assert found.duration_seconds == pytest.approx(2.0, abs=0.1)
        assert (found.sample_rate, found.channels, found.mediatype) == (rate, channels, mediatype)
        assert found.playable_path is None

    @pytest.mark.parametrize(
        ("container", "codec", "rate", "channels", "mediatype"),
        [
            ("wav", "pcm_mulaw", 8_000, 2, "audio/wav"),
            ("wav", "pcm_alaw", 8_000, 1, "audio/wav"),
            ("wav", "adpcm_ima_wav", 8_000, 1, "audio/wav"),
            ("au", "pcm_s16be", 11_025, 1, "audio/basic"),
            ("aiff", "pcm_s16be", 44_100, 2, "audio/aiff"),
            ("g722", "g722", 16_000, 1, "audio/G722"),
        ],
    )
    def test_what_browsers_do_not_play_gets_a_rendition(
        self, examiner, tmp_path, container, codec, rate, channels, mediatype
    ):
        path = write_encoded(
            tmp_path / f"call.{container}",
            container=container,
            codec=codec,
            rate=rate,
            channels=channels,
        )

        found = hear(examiner, path, tmp_path)

        assert (found.sample_rate, found.channels, found.mediatype) == (rate, channels, mediatype)
        assert found.playable_path is not None
        assert found.playable_mediatype == "audio/webm"
        playable = hear(examiner, found.playable_path, tmp_path)
        assert (playable.codec, playable.channels) == ("opus", channels)
        assert playable.duration_seconds == pytest.approx(found.duration_seconds, abs=0.1)
        assert playable.playable_path is None
        loud = [max(points) for points in peaks_by_channel(found.peaks)]
        heard = [max(points) for points in peaks_by_channel(playable.peaks)]
        assert heard == pytest.approx(loud, abs=0.15)

    def test_a_rendition_has_its_index_in_front(self, examiner, tmp_path):
        path = write_encoded(
            tmp_path / "call.wav", container="wav", codec="pcm_mulaw", rate=8_000, channels=1
        )

        found = hear(examiner, path, tmp_path)

        assert found.playable_path is not None
        body = found.playable_path.read_bytes()
        cues, cluster = b"\x1c\x53\xbb\x6b", b"\x1f\x43\xb6\x75"
        # The first mention of either is in the list of contents.
        assert body.index(cues, body.index(b"\x15\x49\xa9\x66")) < body.rindex(cluster)

    @pytest.mark.parametrize(
        ("name", "hints", "expected"),
        [
            ("x.ulaw", {}, ("pcm_mulaw", 8_000, 1)),
            ("x.bin", {"codec_hint": "PCMU"}, ("pcm_mulaw", 8_000, 1)),
            ("x", {"mediatype": "audio/PCMA; rate=16000; channels=2"}, ("pcm_alaw", 16_000, 2)),
            ("x.alaw", {"channels_hint": 2}, ("pcm_alaw", 8_000, 2)),
            ("x.raw", {"sample_rate_hint": 16_000, "channels_hint": 2}, ("pcm_s16le", 16_000, 2)),
            ("x.sln16", {}, ("pcm_s16le", 16_000, 1)),
            ("x.bin", {"mediatype": "audio/L16;rate=44100"}, ("pcm_s16be", 44_100, 1)),
        ],
    )
    def test_headerless_kinds_are_told_by_their_sender(
        self, examiner, tmp_path, name, hints, expected
    ):
        path = tmp_path / "file"
        path.write_bytes(bytes(range(128, 256)) * 500)

        found = hear(examiner, path, tmp_path, name=name, **hints)

        assert (found.codec, found.sample_rate, found.channels) == expected
        bytes_per_second = expected[1] * expected[2] * (2 if "s16" in expected[0] else 1)
        assert found.duration_seconds == pytest.approx(64_000 / bytes_per_second)

    def test_what_a_file_says_itself_counts_more_than_hints(self, examiner, tmp_path):
        path = write_wav(tmp_path / "call.ulaw")

        found = hear(examiner, path, tmp_path, codec_hint="g722", sample_rate_hint=1)

        assert (found.codec, found.sample_rate) == ("pcm_s16le", 8_000)

    def test_a_cut_file_claims_more_than_it_holds(self, examiner, tmp_path):
        whole = write_encoded(
            tmp_path / "whole", container="flac", codec="flac", rate=8_000, channels=1, seconds=20
        )
        cut = tmp_path / "cut.flac"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

        found = hear(examiner, cut, tmp_path)

        assert found.claimed_duration_seconds == pytest.approx(20)
        assert found.duration_seconds < 12
        assert differs(found.claimed_duration_seconds, found.duration_seconds)

    def test_each_thread_may_just_call_it(self, tmp_path):
        found = examine(
            write_wav(tmp_path / "call.wav"),
            name="call.wav",
            mediatype="audio/wav",
            codec_hint=None,
            sample_rate_hint=None,
            channels_hint=None,
            workdir=tmp_path,
        )

        assert found.duration_seconds == pytest.approx(2.0)


class TestNotPlayable:
    @pytest.mark.parametrize(
        ("name", "body", "reason"),
        [
            ("x.wav", b"", "empty"),
            ("x.wav", b"RIFF", "unknown"),
            ("x.ulaw", b"not sound at all but a page of text\n" * 100, "unknown"),
            ("x.mp3", bytes(range(1, 255)) * 3, "unknown"),
            ("x.wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0", "unknown"),
        ],
    )
    def test_says_why_in_a_sentence(self, examiner, tmp_path, name, body, reason):
        path = tmp_path / name
        path.write_bytes(body)

        with pytest.raises(NotPlayable) as refusal:
            hear(examiner, path, tmp_path)

        assert str(refusal.value) == SENTENCES[reason]
        assert sorted(tmp_path.iterdir()) == [path]

    def test_a_list_of_other_files_is_not_followed(self, examiner, tmp_path):
        write_wav(tmp_path / "secret.wav")
        for name in ("rel.wav", "rel.ffconcat", "rel.mp3", "rel.ulaw"):
            path = tmp_path / name
            path.write_text("ffconcat version 1.0\nfile secret.wav\n")

            with pytest.raises(NotPlayable):
                hear(examiner, path, tmp_path)

    @pytest.mark.parametrize("name", ["x.sdp", "x.wav", "x.m3u8", "x.gsm"])
    def test_nothing_is_fetched_or_listened_for(self, examiner, tmp_path, name):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            url = f"http://127.0.0.1:{port}/x.wav"
            for text in (
                f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
                f"m=audio {port} RTP/AVP 0\n",
                f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n",
                f"<MPD><BaseURL>{url}</BaseURL></MPD>",
                f"ffconcat version 1.0\nfile {url}\n",
            ):
                path = tmp_path / name
                path.write_text(text)

                with pytest.raises(NotPlayable):
                    hear(examiner, path, tmp_path)
            server.settimeout(0.2)
            with pytest.raises(TimeoutError):
                server.accept()

    def test_a_child_that_died_is_replaced(self, tmp_path):
        path = write_wav(tmp_path / "call.wav")
        with Examiner() as examiner:
            hear(examiner, path, tmp_path)
            assert examiner._child is not None
            examiner._child.kill()
            examiner._child.wait()

            assert hear(examiner, path, tmp_path).channels == 2

    def test_a_child_that_stops_answering_is_ended(self, tmp_path, monkeypatch):
        monkeypatch.setattr("recordings.media.examination.GRACE_SECONDS", 0.0)
        monkeypatch.setattr("recordings.media.examination.allowed_seconds", lambda _: 0.5)
        path = write_wav(tmp_path / "call.wav")
        with Examiner() as examiner:
            stopped = examiner._started()
            os.kill(stopped.pid, signal.SIGSTOP)

            with pytest.raises(NotPlayable, match="failed"):
                hear(examiner, path, tmp_path)

            assert stopped.returncode == -signal.SIGKILL
            assert hear(examiner, path, tmp_path).channels == 2

    def test_the_child_is_told_no_secrets(self, examiner, tmp_path, monkeypatch):
        monkeypatch.setenv("S3_CONTENT_SECRET_KEY", "planted-secret")
        with Examiner() as fresh:
            pid = fresh._started().pid

            assert b"planted-secret" not in Path(f"/proc/{pid}/environ").read_bytes()

    @pytest.mark.parametrize(
        "answer",
        [
            *("[]", "{}", '{"reason": 7}', "nonsense", '{"duration_seconds": NaN}'),
            '{"duration_seconds": 1e9, "claimed_duration_seconds": null, "has_rendition": false}',
            '{"duration_seconds": 5, "claimed_duration_seconds": null, "has_rendition": true}',
        ],
    )
    def test_the_childs_answer_is_not_trusted(self, tmp_path, monkeypatch, answer):
        def answered(*_: object, **__: object) -> Any:
            found = json.loads(answer)
            if not isinstance(found, dict):
                raise TypeError
            return found

        monkeypatch.setattr(Examiner, "_ask", answered)

        with pytest.raises(NotPlayable):
            hear(Examiner(), write_wav(tmp_path / "call.wav"), tmp_path)


class TestLimits:
    """What the fork that decodes does when decoding goes wrong in ways a test cannot record."""

    def answer(self, monkeypatch, decode, *, seconds: float = 5.0) -> dict[str, Any]:
        monkeypatch.setattr(decoding, "decode", decode)
        found = child._examined_in_fork({"seconds": seconds})
        return json.loads(found) if found else {}

    def test_too_slow(self, monkeypatch):
        started = time.monotonic()

        found = self.answer(monkeypatch, lambda _: time.sleep(60), seconds=0.5)

        assert found == {"reason": "slow"}
        assert time.monotonic() - started < 5

    def test_too_much_memory(self, monkeypatch):
        found = self.answer(monkeypatch, lambda _: {"x": len(bytes(limits.MEMORY_BYTES))})

        assert found == {"reason": "memory"}

    def test_a_crash(self, monkeypatch):
        found = self.answer(monkeypatch, lambda _: os.kill(os.getpid(), signal.SIGKILL))

        assert found == {}

    def test_an_unexpected_error(self, monkeypatch):
        assert self.answer(monkeypatch, lambda _: 1 / 0) == {"reason": "crashed"}

    def test_an_endless_answer(self, monkeypatch):
        found = self.answer(monkeypatch, lambda _: {"x": "x" * (2 * limits.ANSWER_BYTES)})

        assert found == {"reason": "slow"}

    def test_a_larger_file_may_take_longer(self):
        assert limits.allowed_seconds(0) == limits.BASE_SECONDS
        assert limits.allowed_seconds(10_000_000) == limits.BASE_SECONDS + 200
        assert limits.allowed_seconds(10**12) == limits.MAX_SECONDS


class TestPeaks:
    def test_are_loud_where_the_sound_is(self, examiner, tmp_path):
        path = tmp_path / "call.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(2)
            file.setframerate(8_000)
            file.writeframes(bytes(4 * 8_000) + tone(1.0, rate=8_000, channels=2))

        first, second = peaks_by_channel(hear(examiner, path, tmp_path).peaks)

        assert len(first) == len(second) == pytest.approx(40, abs=1)
        assert max(first[:19]) < 0.02
        assert min(first[21:39]) == pytest.approx(24_000 / 32_768, abs=0.05)
        assert min(second[21:39]) == pytest.approx(12_000 / 32_768, abs=0.05)

    def test_are_never_too_many(self):
        packed = peaks.pack([bytes([1] * 9_000 + [100] + [1] * 50), bytes(9_051)])

        first, second = peaks_by_channel(packed)

        assert len(first) == len(second) <= peaks.MAX_POINTS
        assert len(packed) == 1 + 2 * len(first)
        assert max(first) == pytest.approx(100 / 127, abs=0.001)

    def test_of_nothing(self):
        assert peaks_by_channel(b"") == []
        assert peaks_by_channel(peaks.pack([])) == []
        assert peaks_by_channel(peaks.pack([b"", b""])) == [[], []]


class TestDiffers:
    @pytest.mark.parametrize(
        ("declared", "decoded", "expected"),
        [
            *((None, 10.0, False), (10.0, 10.9, False), (10.0, 11.1, True), (9.0, 10.0, False)),
            *((100.0, 102.0, False), (100.0, 103.0, True), (0.0, 10.0, True)),
            *((math.nan, 10.0, True), (math.inf, 10.0, True)),
        ],
    )
    def test_tolerates_rounding(self, declared, decoded, expected):
        assert differs(declared, decoded) is expected


class TestKinds:
    @pytest.mark.parametrize(
        ("mediatype", "extension"),
        [
            *(("audio/wav", "wav"), ("audio/ogg; codecs=opus", "ogg"), ("audio/GSM", "gsm")),
            *(("audio/mp4", "m4a"), ("text/html", "bin"), ("", "bin"), ("../x", "bin")),
        ],
    )
    def test_extension(self, mediatype, extension):
        assert extension_of(mediatype) == extension

    def test_every_container_has_a_mediatype_and_an_extension(self):
        for container in kinds.CONTAINERS:
            assert extension_of(kinds.mediatype_of(container)) != "bin"


def seconds_by_size(path: Path) -> float | None:
    """The length of a recording of a kind whose size tells it, worked out without a decoder."""
    size = path.stat().st_size
    match path.suffix:
        case ".gsm":
            return size // 33 * 0.02
        case ".g722" | ".alaw":
            return size / 8_000
        case ".raw":
            return size / 32_000
        case ".wav":
            return seconds_of_wav(path.read_bytes())
    return None


def seconds_of_wav(body: bytes) -> float:
    """What the chunks of a WAV file say."""
    at, bytes_per_second = 12, 0
    while at + 8 <= len(body):
        name, size = body[at : at + 4], int.from_bytes(body[at + 4 : at + 8], "little")
        if name == b"fmt ":
            bytes_per_second = int.from_bytes(body[at + 16 : at + 20], "little")
        if name == b"data":
            return min(size, len(body) - at - 8) / bytes_per_second
        at += 8 + size + size % 2
    raise AssertionError("no data")


def corpus_calls() -> list[dict[str, Any]]:
    manifest = CORPUS / "calls" / "manifest.jsonl"
    if not manifest.exists():
        return []
    rows = (json.loads(line) for line in manifest.read_text().splitlines())
    return [row for row in rows if row["kind"] == "call"]


def corpus_files(folder: str) -> list[Path]:
    return sorted(path for path in (CORPUS / folder).rglob("*") if path.is_file())


@needs_corpus
class TestCorpus:
    @pytest.mark.parametrize("call", corpus_calls(), ids=lambda call: str(call["id"]))
    def test_calls_are_what_their_manifest_says(self, examiner, tmp_path, call):
        path = CORPUS / "calls" / call["file"]

        found = hear(examiner, path, tmp_path)

        tolerance = max(0.1, 0.005 * call["duration"])
        assert found.duration_seconds == pytest.approx(call["duration"], abs=tolerance)
        assert (found.sample_rate, found.channels) == (call["sample_rate"], call["channels"])
        assert len(peaks_by_channel(found.peaks)) == call["channels"]
        if found.playable_path is not None:
            playable = hear(examiner, found.playable_path, tmp_path)
            assert playable.duration_seconds == pytest.approx(found.duration_seconds, abs=0.1)
            assert playable.channels == found.channels

    def test_real_recordings_have_their_length(self, examiner, tmp_path):
        files = corpus_files("audio")
        for path in files:
            rate = 16_000 if path.suffix == ".raw" else None

            found = hear(examiner, path, tmp_path, sample_rate_hint=rate)

            expected = seconds_by_size(path)
            if expected is None:
                expected = found.claimed_duration_seconds
            tolerance = max(0.1, 0.005 * (expected or 0))
            assert found.duration_seconds == pytest.approx(expected, abs=tolerance), path.name
        assert len(files) > 50

    @pytest.mark.parametrize("folder", ["hostile/audio", "hostile/text", "hostile/json"])
    def test_hostile_files_hurt_nobody(self, examiner, tmp_path, folder):
        for path in corpus_files(folder):
            started = time.monotonic()
            try:
                found = hear(examiner, path, tmp_path)
            except NotPlayable as refusal:
                assert refusal.sentence in SENTENCES.values()
                # Neither a crash nor a limit: each was refused for what it is.
                assert refusal.sentence != SENTENCES["crashed"], path.name
            else:
                assert 0 < found.duration_seconds < 24 * 3600
                assert folder == "hostile/audio", path.name
                assert 1 <= found.channels <= kinds.MAX_CHANNELS
            assert time.monotonic() - started < SLOWEST_SECONDS, path.name
