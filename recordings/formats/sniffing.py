"""Tells by name and content which reader a file is for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import orjson

from recordings.formats.vcon import MAX_FILE_BYTES

Format = Literal["manifest", "vcon", "unknown"]

_BEGINNING_BYTES = 64 * 1024
_LINES_LOOKED_AT = 20
_VCON_KEYS = (
    {"vcon"},
    {"parties", "dialog"},
    {"payload", "signatures"},
    {"ciphertext", "protected"},
)


def sniff(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> Format:
    """
    What a file is by its name, and where that tells nothing by its content.

    Raises:
        OSError: it cannot be read.
    """
    name = path.name.lower()
    if name.endswith((".vcon", ".vcon.json")):
        return "vcon"
    if name.endswith("manifest.jsonl"):
        return "manifest"
    with path.open("rb") as stream:
        beginning = stream.read(_BEGINNING_BYTES)
        if not beginning.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            return "unknown"
        if any(map(_is_manifest_line, beginning.split(b"\n")[:_LINES_LOOKED_AT])):
            return "manifest"
        whole = beginning + stream.read(max_bytes - len(beginning) + 1)
    return "vcon" if len(whole) <= max_bytes and _is_vcon(whole) else "unknown"


def _object(raw: bytes) -> dict[str, object]:
    try:
        value = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _is_manifest_line(raw: bytes) -> bool:
    return {"id", "kind", "started_at", "ended_at"} <= _object(raw).keys()


def _is_vcon(raw: bytes) -> bool:
    keys = _object(raw).keys()
    return any(needed <= keys for needed in _VCON_KEYS)
