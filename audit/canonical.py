"""The one way an event is written as text: a subset of RFC 8785 (JSON Canonicalization Scheme)."""

import json
import re
from collections.abc import Mapping

LARGEST_INTEGER = 2**53 - 1
DEEPEST = 8

_KEY = re.compile(r"[a-z0-9_]{1,32}")
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


class NotCanonical(ValueError):
    """The value lies outside the subset in which one value has exactly one text."""


def dumps(value: Mapping[str, object]) -> str:
    """
    Write an object as canonical JSON: sorted keys, no spaces, unescaped Unicode.

    Inside the subset (keys `[a-z0-9_]{1,32}`; strings without lone surrogates; integers up to
    2^53 − 1 either side of zero; booleans, null, lists and objects of these, at most 8 deep)
    the text equals that of RFC 8785.

    Raises NotCanonical for anything else, floats among it.
    """
    _check(value, depth=1)
    return _encode(value)


def _check(value: object, *, depth: int) -> None:
    if depth > DEEPEST:
        raise NotCanonical("The value is nested too deeply.")
    # bool is an int to Python, and needs no check of its size.
    if value is None or isinstance(value, bool):
        return
    if type(value) is str:
        _check_text(value)
    elif type(value) is int:
        if not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
            raise NotCanonical("An integer is larger than 2^53 - 1.")
    elif type(value) is dict:
        for key, member in value.items():
            if type(key) is not str or not _KEY.fullmatch(key):
                raise NotCanonical("A key is not of the form [a-z0-9_]{1,32}.")
            _check(member, depth=depth + 1)
    elif type(value) is list:
        for member in value:
            _check(member, depth=depth + 1)
    else:
        raise NotCanonical(f"A value of type {type(value).__name__} has no canonical form.")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotCanonical("A string holds half a surrogate pair.") from error
