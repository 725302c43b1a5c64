"""How values lie in the cache: as JSON, since whoever can write there must not run code here."""

from __future__ import annotations

from typing import Any

import orjson


class JsonSerializer:
    """Takes the place of pickle; what is no JSON cannot be cached."""

    def dumps(self, value: Any) -> bytes:
        """Write a value; whole numbers stay such as the server can count up."""
        return orjson.dumps(value)

    def loads(self, data: bytes) -> Any:
        """Read a value. Raises ValueError for what is no JSON."""
        return orjson.loads(data)
