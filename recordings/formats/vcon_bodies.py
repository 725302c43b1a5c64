"""What a dialog of a vCon holds: its bytes or text, and whether they match the hash beside them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from recordings.formats.incoming import CannotCapture

_TEXT_CHARSETS = frozenset({"utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"})
_DIGESTS = {"sha512": hashlib.sha512, "sha384": hashlib.sha384, "sha256": hashlib.sha256}


def decode_base64url(text: str) -> bytes:
    """
    Bytes of base64url; padding, line breaks and the ordinary base64 alphabet are tolerated.

    Raises:
        CannotCapture: other characters, or a length that base64 cannot have.

    Source: RFC 4648 section 5.
    """
    compact = "".join(text.split()).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise CannotCapture("The content of a dialog is not valid base64url.") from None


def mediatype_of(dialog: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Media type without parameters and in lower case, and the charset if it names one."""
    declared = dialog.get("mediatype", dialog.get("mimetype"))
    if not isinstance(declared, str):
        return None, None
    essence, *parameters = declared.split(";")
    charset = None
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return essence.strip().lower()[:100] or None, charset


def sound_of(dialog: Mapping[str, Any]) -> tuple[bytes, str | None]:
    """
    The bytes of a recording and the hash that they were found to match, if one was given.

    Raises:
        CannotCapture: the encoding cannot hold sound, or the hash does not match.
    """
    body, encoding = dialog["body"], dialog.get("encoding")
    if not isinstance(body, str) or encoding not in (None, "", "base64url", "base64"):
        raise CannotCapture("A recording of the vCon is in an encoding that cannot hold sound.")
    content = decode_base64url(body)
    return content, _matching_hash(dialog, content)


def text_of(dialog: Mapping[str, Any]) -> tuple[str, str]:
    """
    The text of a written dialog and its media type.

    Raises:
        CannotCapture: it is no text, its characters cannot be read, or the hash does not match.
    """
    mediatype, charset = mediatype_of(dialog)
    mediatype = mediatype or "text/plain"
    body, encoding = dialog["body"], dialog.get("encoding")
    if not mediatype.startswith("text/") and encoding != "json":
        raise CannotCapture("A written dialog of the vCon is of a media type that is not text.")
    if encoding in ("base64url", "base64"):
        if not isinstance(body, str):
            raise CannotCapture("The content of a dialog is not valid base64url.")
        content = decode_base64url(body)
        text = _characters(content, charset)
    elif encoding in (None, "", "none", "json"):
        if isinstance(body, list) and all(isinstance(part, str) for part in body):
            text = "\n".join(body)
        elif isinstance(body, str):
            text = body
        else:
            text, mediatype = orjson.dumps(body).decode(), "application/json"
        content = text.encode()
    else:
        raise CannotCapture("A written dialog of the vCon is in an unknown encoding.")
    _matching_hash(dialog, content)
    return text, mediatype


def _characters(content: bytes, charset: str | None) -> str:
    if charset is not None and charset not in _TEXT_CHARSETS:
        raise CannotCapture("A written dialog of the vCon is in an unknown character set.")
    try:
        text = content.decode(charset or "utf-8")
    except UnicodeDecodeError:
        raise CannotCapture("A written dialog of the vCon holds bytes that are not text.") from None
    if "\x00" in text:
        raise CannotCapture("A written dialog of the vCon holds the character NUL.")
    return text


def _declared_hashes(dialog: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Algorithm and base64url digest; both syntaxes (draft 0.0.2 changed it)."""
    declared = dialog.get("content_hash")
    for entry in declared if isinstance(declared, list) else [declared]:
        if isinstance(entry, str) and "-" in entry:
            algorithm, _, digest = entry.partition("-")
            yield algorithm.lower(), digest
    alg, signature = dialog.get("alg"), dialog.get("signature")
    if isinstance(alg, str) and isinstance(signature, str):
        yield alg.lower().replace("-", ""), signature


def _matching_hash(dialog: Mapping[str, Any], content: bytes) -> str | None:
    """The strongest declared hash, all known ones having matched; unknown algorithms count not."""
    matched: str | None = None
    for algorithm, digest in _declared_hashes(dialog):
        digest_of = _DIGESTS.get(algorithm)
        if digest_of is None:
            continue
        expected = digest.rstrip("=").replace("+", "-").replace("/", "_")
        found = base64.urlsafe_b64encode(digest_of(content).digest()).rstrip(b"=").decode()
        if not hmac.compare_digest(expected.encode(), found.encode()):
            raise CannotCapture("The content of a dialog does not match its content hash.")
        if matched is None or algorithm == "sha512":
            matched = f"{algorithm}-{found}"
    return matched
