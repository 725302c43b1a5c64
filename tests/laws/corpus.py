"""The shared corpus beside the repository, where there is one, and manifests over its files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from tests.harness.session import ROOT

CORPUS = ROOT.parent / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not beside us")

# What a container tells by itself is left for the capture to find out; raw sound has no header.
WITHOUT_HEADER = {"ulaw_raw": "pcm_mulaw", "gsm_raw": "gsm", "g722_raw": "g722"}


def calls() -> list[dict[str, Any]]:
    """The twenty calls as their own manifest describes them."""
    lines = (CORPUS / "calls" / "manifest.jsonl").read_bytes().splitlines()
    found = (cast(dict[str, Any], orjson.loads(line)) for line in lines)
    return [call for call in found if call.get("kind") == "call"]


def our_manifest(folder: Path) -> Path:
    """Write our manifest over the calls, their sound linked beside it."""
    folder.mkdir()
    lines = []
    for call in calls():
        link_to(CORPUS / "calls" / call["file"], folder / Path(call["file"]).name)
        lines.append(_line(call))
    return write(folder, lines)


def _line(call: dict[str, Any]) -> dict[str, Any]:
    began = datetime.fromisoformat(call["started_at"])
    file: dict[str, Any] = {
        "path": Path(call["file"]).name,
        "sha256": call["sha256"],
        "duration_seconds": call["duration"],
    }
    if call["encoding"] in WITHOUT_HEADER:
        file |= {
            "codec": WITHOUT_HEADER[call["encoding"]],
            "sample_rate": call["sample_rate"],
            "channels": call["channels"],
        }
    if call["channels"] == 2:
        file["channel_roles"] = [call["channel_map"][str(channel)] for channel in range(2)]
    return {
        "id": call["id"],
        "kind": "call",
        "started_at": began.isoformat(),
        "ended_at": (began + timedelta(seconds=call["duration"])).isoformat(),
        "language": call["language"],
        "team": "claims",
        "parties": [
            {"role": "agent", "login": call["agent"]["login"], "name": call["agent"]["name"]},
            {"role": "customer", "name": call["customer"]["name"]},
        ],
        "files": [file],
    }


def manifest_over(files: Iterable[Path], folder: Path) -> Path:
    """Write a manifest that claims each of the files to be the recording of a call."""
    folder.mkdir()
    lines = []
    for number, path in enumerate(files):
        name = f"{number}{path.suffix}"
        link_to(path, folder / name)
        lines.append(
            {
                "id": f"{number}",
                "kind": "call",
                "started_at": "2026-11-01T10:00:00Z",
                "ended_at": "2026-11-01T10:05:00Z",
                "team": "claims",
                "parties": [{"role": "agent"}, {"role": "customer"}],
                "files": [{"path": name}],
            }
        )
    return write(folder, lines)


def link_to(path: Path, target: Path) -> None:
    """Put a copy of the file there: links that lead out of the folder are refused."""
    target.write_bytes(path.read_bytes())


def write(folder: Path, lines: list[dict[str, Any]]) -> Path:
    """Write the manifest of the folder."""
    manifest = folder / "manifest.jsonl"
    manifest.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return manifest
