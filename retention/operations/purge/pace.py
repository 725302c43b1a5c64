"""How much is taken at once, and how long is waited: as the store bears it, and as is allowed."""

from __future__ import annotations

from dataclasses import dataclass

# A batch that takes so many times as long a conversation as usual is slow.
SLOW_FACTOR = 3.0
# Below that nobody notices, and one hiccup would count.
SLOW_SECONDS = 2.0
SMALLEST = 10
# What is usual follows what is: by so much a batch where that is slower.
USUAL_GROWS = 1.05
# A limit is spread over the minute in so many batches.
BATCHES_A_MINUTE = 6
SECONDS_A_MINUTE = 60.0


@dataclass(slots=True)
class Pace:
    """
    The size of batches: halved when the store is slow or fails, a tenth more when it is not.

    `limit` is the largest size, `per_minute` how many conversations a minute at most, 0 for as
    many as can be.
    """

    limit: int
    per_minute: int = 0
    is_slow: bool = False
    _size: int = 0
    _usual_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.per_minute:
            self.limit = max(1, min(self.limit, self.per_minute // BATCHES_A_MINUTE))
        self._size = self.limit

    @property
    def size(self) -> int:
        """How many conversations to take next."""
        return self._size

    def is_taking_long(self, *, conversations: int, seconds: float) -> bool:
        """Say whether the store already takes longer for a batch than it ought to."""
        usual = (self._usual_seconds or 0.0) * conversations
        return seconds > max(SLOW_SECONDS, SLOW_FACTOR * usual)

    def took(self, *, conversations: int, seconds: float) -> None:
        """Learn from a batch that the store has taken."""
        self.is_slow = self._usual_seconds is not None and self.is_taking_long(
            conversations=conversations, seconds=seconds
        )
        each = seconds / max(1, conversations)
        usual = each if self._usual_seconds is None else self._usual_seconds * USUAL_GROWS
        self._usual_seconds = min(each, usual)
        if self.is_slow:
            self._shrink()
        else:
            self._size = min(self.limit, self._size + max(1, self.limit // 10))

    def failed(self) -> None:
        """Learn from a batch that the store has not taken."""
        self.is_slow = True
        self._shrink()

    def wait_seconds(self, *, conversations: int, seconds: float) -> float:
        """How long to wait after a batch that took so long, so that the limit is kept."""
        if not self.per_minute:
            return 0.0
        return max(0.0, conversations * SECONDS_A_MINUTE / self.per_minute - seconds)

    def _shrink(self) -> None:
        self._size = max(min(SMALLEST, self.limit), self._size // 2)
