"""Kinds of sound: how headerless ones are told, how each is named, which ones browsers play."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

# FFmpeg's demuxers that may open a recording. Without this list a text of 37 bytes ("ffconcat")
# makes it read other files, and SDP makes it listen to the network.
CONTAINERS = (
    *("wav", "mp3", "ogg", "flac", "mov", "matroska", "aac", "aiff", "au", "gsm", "g722"),
    *("mulaw", "alaw", "s16le", "s16be", "w64", "caf", "amr"),
)
CODECS = frozenset(
    {
        *("aac", "aac_latm", "adpcm_g722", "adpcm_g726", "adpcm_g726le", "adpcm_ima_qt"),
        *("adpcm_ima_wav", "adpcm_ms", "alac", "amr_nb", "amr_wb", "flac", "g729", "gsm"),
        *("gsm_ms", "mp1", "mp2", "mp3", "opus", "pcm_alaw", "pcm_f32be", "pcm_f32le"),
        *("pcm_f64be", "pcm_f64le", "pcm_mulaw", "pcm_s16be", "pcm_s16le", "pcm_s24be"),
        *("pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_s8", "pcm_u8", "speex", "vorbis"),
    }
)

# Opus in WebM with its index in front: Chromium asks once to open and once to seek, where Ogg,
# which has no index, takes two to four requests each.
RENDITION_MEDIATYPE = "audio/webm"
RENDITION_EXTENSION = "webm"

MAX_CHANNELS = 8
MIN_SAMPLE_RATE = 1_000
MAX_SAMPLE_RATE = 384_000

# Files that say themselves what they are; hints do not count then.
_MAGIC = re.compile(
    rb"RIFF|RF64|riff|OggS|fLaC|ID3|\.snd|FORM|caff|#!AMR|\x1aE\xdf\xa3|.{4}ftyp", re.DOTALL
)
_TEXT = re.compile(rb"[\t\r\n -~]{16,}\Z")


@dataclass(frozen=True, slots=True)
class Headerless:
    """How to read a file that does not say what it is: a demuxer and what it must be told."""

    container: str
    sample_rate: int | None = None
    channels: int | None = None

    def options(self) -> dict[str, str]:
        """The demuxer's options, as FFmpeg names them."""
        options: dict[str, str] = {}
        if self.sample_rate is not None:
            options["sample_rate"] = str(self.sample_rate)
        if self.channels is not None:
            options["ch_layout"] = {1: "mono", 2: "stereo"}.get(
                self.channels, f"{self.channels} channels"
            )
        return options


_HEADERLESS_NAMES = {
    "g722": "g722",
    "adpcmg722": "g722",
    "gsm": "gsm",
    "gsm610": "gsm",
    **dict.fromkeys(("ulaw", "mulaw", "ul", "mu", "pcmu", "pcmmulaw", "g711u"), "mulaw"),
    **dict.fromkeys(("alaw", "al", "pcma", "pcmalaw", "g711a"), "alaw"),
    **dict.fromkeys(("raw", "pcm", "sln", "slin", "s16", "s16le", "pcms16le"), "s16le"),
    **dict.fromkeys(("l16", "s16be", "pcms16be"), "s16be"),
}
# Asterisk writes its signed linear files' rate into the name: .sln16 is 16 kHz.
_SLIN = re.compile(r"sl(?:in|n)(8|12|16|24|32|44|48|96|192)")
_SLIN_RATES = {"44": 44_100}


def headerless(
    *,
    head: bytes,
    name: str,
    mediatype: str | None,
    codec_hint: str | None,
    sample_rate_hint: int | None,
    channels_hint: int | None,
) -> Headerless | None:
    """
    How to read a file whose first bytes are `head`; None if it is to be recognized by itself.

    The sender's codec is asked first, then the mediatype, then the name's extension.
    """
    if _MAGIC.match(head) or is_text(head):
        return None
    subtype, parameters = _split_mediatype(mediatype)
    for said in (codec_hint, subtype, PurePath(name).suffix.lstrip(".")):
        container, rate = _headerless_container(said)
        if container is None:
            continue
        if container in {"g722", "gsm"}:
            return Headerless(container)
        return Headerless(
            container,
            _within(sample_rate_hint or parameters.get("rate") or rate, MAX_SAMPLE_RATE) or 8_000,
            _within(channels_hint or parameters.get("channels"), MAX_CHANNELS) or 1,
        )
    return None


def is_text(head: bytes) -> bool:
    """Whether these first bytes are plain text: no sound is, whatever its name says."""
    return _TEXT.match(head) is not None


def _headerless_container(said: str | None) -> tuple[str | None, int | None]:
    plain = re.sub(r"[^a-z0-9]", "", (said or "").lower())
    if match := _SLIN.fullmatch(plain):
        return "s16le", _SLIN_RATES.get(match[1], int(match[1]) * 1000)
    return _HEADERLESS_NAMES.get(plain), None


def _split_mediatype(mediatype: str | None) -> tuple[str, dict[str, int]]:
    kind, *parameters = (mediatype or "").split(";")
    numbers = {
        name.strip().lower(): int(value.strip())
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if re.fullmatch(r"\s*[0-9]{1,6}\s*", value, re.ASCII)
    }
    return kind.partition("/")[2].strip(), numbers


def _within(value: int | None, limit: int) -> int | None:
    return value if value is not None and 0 < value <= limit else None


_MEDIATYPES = {
    "wav": "audio/wav",
    "w64": "audio/x-w64",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mov": "audio/mp4",
    "matroska": "audio/x-matroska",
    "webm": "audio/webm",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "au": "audio/basic",
    "caf": "audio/x-caf",
    "amr": "audio/AMR",
    "gsm": "audio/GSM",
    "g722": "audio/G722",
    "mulaw": "audio/PCMU",
    "alaw": "audio/PCMA",
    "s16le": "audio/x-raw",
    "s16be": "audio/L16",
}
# What Chromium, Firefox and Safari all play. Chromium plays u-law and A-law too; Safari not.
_PLAYED = {
    "audio/wav": {"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
    "audio/mpeg": {"mp3"},
    "audio/flac": {"flac"},
    "audio/ogg": {"opus", "vorbis"},
    "audio/webm": {"opus", "vorbis"},
    "audio/mp4": {"aac"},
}
_EXTENSIONS = {
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/webm": "webm",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/aiff": "aiff",
    "audio/basic": "au",
    "audio/amr": "amr",
    "audio/gsm": "gsm",
    "audio/g722": "g722",
    "audio/pcmu": "ulaw",
    "audio/pcma": "alaw",
    "audio/x-w64": "w64",
    "audio/x-caf": "caf",
    "audio/x-matroska": "mka",
    "audio/x-raw": "raw",
    "audio/l16": "raw",
}


def container_of(format_name: str, codec: str) -> str:
    """Our name for what FFmpeg calls, say, "mov,mp4,m4a,3gp,3g2,mj2" or "matroska,webm"."""
    first = format_name.partition(",")[0]
    if first == "matroska" and codec in _PLAYED["audio/webm"]:
        return "webm"
    return first


def mediatype_of(container: str) -> str:
    """The mediatype of a container, as RFC 6838 registers it where it does."""
    return _MEDIATYPES.get(container, "application/octet-stream")


def is_played_by_browsers(*, mediatype: str, codec: str) -> bool:
    """Whether common browsers play sound of that codec in that mediatype."""
    return codec in _PLAYED.get(mediatype, ())


def extension_of(mediatype: str) -> str:
    """The extension, without a dot, for a mediatype of ours; "bin" for any other."""
    return _EXTENSIONS.get(mediatype.partition(";")[0].strip().lower(), "bin")
