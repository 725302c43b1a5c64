"""Finds out what a sound recording is by decoding it, in a child process that may die."""

from recordings.media.examination import (
    Examined,
    Examiner,
    NotPlayable,
    differs,
    examine,
)
from recordings.media.kinds import extension_of
from recordings.media.peaks import peaks_by_channel

__all__ = [
    "Examined",
    "Examiner",
    "NotPlayable",
    "differs",
    "examine",
    "extension_of",
    "peaks_by_channel",
]
