"""Which reader a file is for."""

from __future__ import annotations

import pytest

from recordings.formats.sniffing import sniff


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.vcon", b"whatever", "vcon"),
        ("a.vcon.json", b"", "vcon"),
        ("manifest.jsonl", b"", "manifest"),
        ("a.json", b'\xef\xbb\xbf {"parties": [],\n "dialog": []}', "vcon"),
        ("a.json", b'{"payload": "", "signatures": []}', "vcon"),
        ("a.json", b'{"protected": "", "ciphertext": ""}', "vcon"),
        ("a.json", b'{"unrelated": 1}', "unknown"),
        (
            "a.txt",
            b'{broken\n{"id":"1","kind":"chat","started_at":"x","ended_at":"y"}\n',
            "manifest",
        ),
        ("a.wav", b"RIFF....WAVE", "unknown"),
        ("a.jsonl", b'{"role": "user", "text": "hei"}\n', "unknown"),
        ("empty", b"", "unknown"),
    ],
)
def test_tells_by_name_and_content(tmp_path, name, content, expected):
    (tmp_path / name).write_bytes(content)

    assert sniff(tmp_path / name) == expected


def test_does_not_read_what_is_too_large(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"parties": [], "dialog": []' + b" " * 100_000 + b"}")

    assert sniff(tmp_path / "a.json", max_bytes=90_000) == "unknown"
