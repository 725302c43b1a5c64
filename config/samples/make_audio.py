"""
Voices the sample calls: run once by whoever changes the texts, never by the demonstration.

Usage: python -m config.samples.make_audio

Needs espeak-ng and ffmpeg. Writes config/samples/audio: stereo, the agent left and the customer
right, one file for each text, and a list of them with what they really are.
"""

from __future__ import annotations

import array
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

from config.samples.texts import LANGUAGES, SampleText, Speaker, sample_texts

AUDIO = Path(__file__).parent / "audio"
RATE_HZ = 16_000
FIRST_SILENCE_SECONDS = 0.4
LAST_SILENCE_SECONDS = 0.8
LOUDEST = 0.6
NOISE = 12  # of 32,767: a line that is never quite silent

_VOICES = {"fi": "fi", "sv": "sv", "en": "en-gb"}
_AGENTS = ("+f3", "+m3", "+f5", "+m7")
_CUSTOMERS = ("+m1", "+f2", "+m4", "+f4")

# What a browser plays as it is; and a few as telephone exchanges write them, which it does not.
# Opus of so few bits hears the other side in each lane; MP3 without joint stereo keeps them apart.
_MP3_OPTIONS = ["-c:a", "libmp3lame", "-ar", "8000", "-b:a", "24k", "-joint_stereo", "0"]
_MP3 = ("mp3", "audio/mpeg", "mp3", _MP3_OPTIONS)
_OTHERS = {
    "service-invoice-fi": (
        "WAV",
        "audio/x-wav",
        "gsm_ms",
        ["-c:a", "gsm_ms", "-ac", "1", "-ar", "8000", "-f", "wav"],
    ),
    "service-moving-abroad-sv": (
        "wav",
        "audio/x-wav",
        "pcm_mulaw",
        ["-c:a", "pcm_mulaw", "-ar", "8000"],
    ),
    "orders-monthly-change-en": (
        "gsm",
        "audio/gsm",
        "gsm",
        ["-c:a", "gsm", "-ac", "1", "-ar", "8000", "-f", "gsm"],
    ),
}


def main() -> int:
    """Make every file anew."""
    AUDIO.mkdir(exist_ok=True)
    for old in AUDIO.iterdir():
        old.unlink()
    entries = [make(text, place) for place, text in enumerate(sample_texts("calls"))]
    (AUDIO / "audio.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    size_bytes = sum(path.stat().st_size for path in AUDIO.iterdir())
    sys.stdout.write(f"{len(entries)} files, {size_bytes:,} bytes\n")
    return 0


def make(text: SampleText, place: int) -> dict[str, object]:
    """Voice and encode one text; returns its line of the list."""
    suffix, mediatype, codec, options = _OTHERS.get(text.slug, _MP3)
    target = AUDIO / f"{text.slug}.{suffix}"
    with tempfile.TemporaryDirectory() as folder:
        mixed = Path(folder) / "mixed.wav"
        seconds = mix(text, place, Path(folder), mixed)
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", str(mixed)]
        command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
        subprocess.run([*command, *options, str(target)], check=True)
    is_mono = "-ac" in options
    return {
        "slug": text.slug,
        "file": target.name,
        "mediatype": mediatype,
        "codec": codec,
        "sample_rate": 8_000,
        "channels": 1 if is_mono else 2,
        "duration_seconds": round(seconds, 2),
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
    }


def mix(text: SampleText, place: int, folder: Path, target: Path) -> float:
    """Lay the turns one after the other, each on its side; returns the length in seconds."""
    voice = _VOICES[text.language]
    voices = {
        "agent": voice + _AGENTS[place % len(_AGENTS)],
        "customer": voice + _CUSTOMERS[place % len(_CUSTOMERS)],
    }
    chance = random.Random(text.slug)  # noqa: S311 (pauses, not secrets)
    at = int(FIRST_SILENCE_SECONDS * RATE_HZ)
    laid: list[tuple[Speaker, int, array.array[int]]] = []
    for number, (speaker, said) in enumerate(text.turns):
        samples = speak(said, voices[speaker], folder / f"{number}.wav")
        laid.append((speaker, at, samples))
        at += len(samples) + int(chance.uniform(0.25, 0.75) * RATE_HZ)
    length = at + int(LAST_SILENCE_SECONDS * RATE_HZ)
    both = array.array("h", (chance.randint(-NOISE, NOISE) for _ in range(2 * length)))
    for speaker, start, samples in laid:
        side = 0 if speaker == "agent" else 1
        both[2 * start + side : 2 * (start + len(samples)) + side : 2] = samples
    with wave.open(str(target), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(RATE_HZ)
        sound.writeframes(both.tobytes())
    return length / RATE_HZ


def speak(said: str, voice: str, target: Path) -> array.array[int]:
    """Samples of one turn at RATE_HZ, as loud as every other."""
    raw = target.with_suffix(".raw")
    command = ["espeak-ng", "-v", voice, "-s", "172", "-w", str(target), said]
    subprocess.run(command, check=True)
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", str(target)]
    subprocess.run([*command, "-ar", str(RATE_HZ), "-ac", "1", "-f", "s16le", str(raw)], check=True)
    samples = array.array("h", raw.read_bytes())
    peak = max((abs(sample) for sample in samples), default=1) or 1
    gain = LOUDEST * 32_767 / peak
    return array.array("h", (int(sample * gain) for sample in samples))


if __name__ == "__main__":
    assert set(_VOICES) == set(LANGUAGES)
    raise SystemExit(main())
