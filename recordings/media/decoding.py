"""Decodes one recording from beginning to end; runs in the child process only."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.audio.resampler import AudioResampler

from recordings.media import kinds
from recordings.media.peaks import PeakMeter, pack

HEAD_BYTES = 4096
MAX_SECONDS = 24 * 3600
METER_RATE = 8_000
# A recorder that was stopped leaves a broken last packet; more than that is damage.
DAMAGE_TOLERATED = 0.02

RENDITION_CONTAINER = "webm"
RENDITION_CODEC = "libopus"
OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
# Bits per second for one channel of speech, by sample rate.
OPUS_BITRATES = {8_000: 16_000, 12_000: 20_000, 16_000: 24_000, 24_000: 32_000, 48_000: 48_000}
# Long packets, because WebM adds some 10 bytes to each. Complexity 3 of 10 takes two thirds of
# the time and is no larger.
OPUS_OPTIONS = {"application": "voip", "frame_duration": "60", "compression_level": "3"}


class Undecodable(Exception):
    """Holds the code of a reason; `examination` has the sentences."""


def decode(request: dict[str, Any]) -> dict[str, Any]:
    """
    Decode the file that a request names, and say what it is.

    Request and answer are those of `examination`. Raises Undecodable.
    """
    path = Path(request["path"])
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(0)
        if not head:
            raise Undecodable("empty")
        if kinds.is_text(head):
            raise Undecodable("unknown")
        with _opened(file, head, request) as container:
            return _Recording(container, Path(request["rendition"])).examine()


def _opened(file: Any, head: bytes, request: dict[str, Any]) -> Any:
    hint = kinds.headerless(
        head=head,
        name=request["name"],
        mediatype=request["mediatype"],
        codec_hint=request["codec_hint"],
        sample_rate_hint=request["sample_rate_hint"],
        channels_hint=request["channels_hint"],
    )
    options = {
        "format_whitelist": ",".join(kinds.CONTAINERS),
        # The file itself comes through Python; nothing else may be opened.
        "protocol_whitelist": "none",
        "threads": "1",
    }
    try:
        return av.open(
            file,
            format=hint.container if hint else None,
            options={**options, **(hint.options() if hint else {})},
            metadata_errors="ignore",
        )
    except MemoryError:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise Undecodable("unknown") from error


class _Recording:
    """One opened file, decoded once for everything that is wanted of it."""

    def __init__(self, container: Any, rendition: Path) -> None:
        if not container.streams.audio:
            raise Undecodable("silent")
        self._container = container
        self._stream = container.streams.audio[0]
        self._codec = self._checked_codec()
        self._container_name = kinds.container_of(container.format.name, self._codec)
        self._mediatype = kinds.mediatype_of(self._container_name)
        self._rendition: _Rendition | None = None
        if not kinds.is_played_by_browsers(mediatype=self._mediatype, codec=self._codec):
            self._rendition = _Rendition(rendition)
        self._sample_rate = 0
        self._channels = 0
        # By rate, in whole samples: a sum of many small fractions would drift.
        self._samples: Counter[int] = Counter()

    def examine(self) -> dict[str, Any]:
        meters: list[PeakMeter] = []
        resampler = AudioResampler(format="u8p", rate=METER_RATE)
        for frame in self._frames():
            self._take_note_of(frame)
            for metered in resampler.resample(frame):
                _meter(metered, meters)
            if self._rendition:
                self._rendition.encode(frame)
        if not self._seconds():
            raise Undecodable("silent")
        for metered in resampler.resample(None):
            _meter(metered, meters)
        if self._rendition:
            self._rendition.finish()
        return {
            "duration_seconds": self._seconds(),
            "sample_rate": self._sample_rate,
            "channels": self._channels,
            "codec": self._codec,
            "container": self._container_name,
            "mediatype": self._mediatype,
            "claimed_duration_seconds": self._claimed_seconds(),
            "peaks": base64.b64encode(pack([meter.finish() for meter in meters])).decode(),
            "has_rendition": self._rendition is not None,
        }

    def _checked_codec(self) -> str:
        context = self._stream.codec_context
        codec = context.codec.canonical_name if context is not None else ""
        if codec not in kinds.CODECS:
            raise Undecodable("codec")
        context.thread_count = 1
        return str(codec)

    def _frames(self) -> Iterator[Any]:
        packets = broken = 0
        demuxed = self._container.demux(self._stream)
        while True:
            try:
                packet = next(demuxed, None)
                if packet is None:
                    break
                packets += 1
                yield from packet.decode()
            except av.FFmpegError as error:
                broken += 1
                if isinstance(error, MemoryError):
                    raise
                # A demuxer that fails does not go on; a decoder may.
                if broken > 50 + packets * DAMAGE_TOLERATED:
                    raise Undecodable("damaged") from error
        if broken > 1 + packets * DAMAGE_TOLERATED:
            raise Undecodable("damaged")

    def _take_note_of(self, frame: Any) -> None:
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not kinds.MIN_SAMPLE_RATE <= rate <= kinds.MAX_SAMPLE_RATE:
            raise Undecodable("codec")
        if not 0 < channels <= kinds.MAX_CHANNELS:
            raise Undecodable("codec")
        if not self._sample_rate:
            self._sample_rate, self._channels = rate, channels
        elif channels != self._channels:
            raise Undecodable("damaged")
        self._samples[rate] += frame.samples
        if self._seconds() >= MAX_SECONDS:
            raise Undecodable("long")

    def _seconds(self) -> float:
        return sum(samples / rate for rate, samples in self._samples.items())

    def _claimed_seconds(self) -> float | None:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        if self._container.duration is not None:
            return float(self._container.duration / av.time_base)
        return None


def _meter(frame: Any, meters: list[PeakMeter]) -> None:
    if not meters:
        meters.extend(PeakMeter(sample_rate=METER_RATE) for _ in frame.planes)
    for meter, plane in zip(meters, frame.planes, strict=True):
        meter.update(memoryview(plane)[: frame.samples])


class _Rendition:
    """Opus for a browser, encoded while the recording is decoded."""

    def __init__(self, path: Path) -> None:
        # The index before the sound: a player that seeks need not ask for the end first.
        self._output = av.open(
            str(path), "w", format=RENDITION_CONTAINER, options={"cues_to_front": "1"}
        )
        self._stream: Any = None
        self._resampler: Any = None

    def encode(self, frame: Any) -> None:
        """Take a decoded frame; the first one decides on rate and channels."""
        if self._stream is None:
            self._start(frame)
        for resampled in self._resampler.resample(frame):
            resampled.pts = None
            self._output.mux(self._stream.encode(resampled))

    def finish(self) -> None:
        """Write what is left."""
        for resampled in self._resampler.resample(None):
            resampled.pts = None
            self._output.mux(self._stream.encode(resampled))
        self._output.mux(self._stream.encode(None))
        self._output.close()

    def _start(self, frame: Any) -> None:
        rate = next((rate for rate in OPUS_RATES if rate >= frame.sample_rate), OPUS_RATES[-1])
        layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
        self._stream = self._output.add_stream(RENDITION_CODEC, rate=rate, layout=layout)
        self._stream.codec_context.options = OPUS_OPTIONS
        self._stream.bit_rate = OPUS_BITRATES[rate] * (1 if layout == "mono" else 2)
        self._resampler = AudioResampler(format="s16", layout=layout, rate=rate)
