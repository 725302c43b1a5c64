"""Whether anything that is kept could end earlier by a change of a rule or a limit; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from retention.due_dates import can_end_earlier

# What a version speaks of: empty speaks of everything.
_SCOPE = ("kinds", "teams", "queues", "directions", "outcomes", "languages", "tags")
_TIME = ("keep_months", "keep_days")
# With one of these more is kept, or longer.
_FAVOURS = ("article_9_condition", "statute")
# What has no influence on when something ends.
_ELSEWHERE = ("legal_basis",)
_KNOWN = {*_SCOPE, *_TIME, *_FAVOURS, *_ELSEWHERE, "shortest_seconds", "longest_seconds"} | {
    *("is_exclusion", "trigger", "cap_months")
}


def is_always(said: Mapping[str, Any]) -> bool:
    """Whether a version that says this could end something whatever else there is."""
    return bool(said["is_exclusion"])


def shortens(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """
    Whether something could end earlier when a version of a rule says `new` instead of `old`.

    Both are by the names of a version's fields. Unknown means yes: a difference in a field that is
    not spoken of here shortens.
    """
    if is_always(old) or is_always(new) or old["trigger"] != new["trigger"]:
        return True
    if can_end_earlier(
        (new["keep_months"], new["keep_days"]), (old["keep_months"], old["keep_days"])
    ):
        return True
    if any(_speaks_of_less(old[name], new[name]) for name in _SCOPE):
        return True
    if _sinks(old["longest_seconds"], new["longest_seconds"]):
        return True
    # Unlike a missing bound, one of 0 leaves out what has no duration.
    shortest, least = old["shortest_seconds"], new["shortest_seconds"]
    if least is not None and (shortest is None or least > shortest):
        return True
    if _sinks(old["cap_months"], new["cap_months"]):
        return True
    if any(old[name] and not new[name] for name in _FAVOURS):
        return True
    return any(old[name] != new[name] for name in new if name not in _KNOWN)


def limits_shorten(
    old: tuple[int | None, int | None] | None, new: tuple[int | None, int | None]
) -> bool:
    """Whether something could end earlier by another floor and ceiling, in months or None."""
    old_floor, old_ceiling = old or (None, None)
    new_floor, new_ceiling = new
    floor_sinks = old_floor is not None and (new_floor is None or new_floor < old_floor)
    return floor_sinks or _sinks(old_ceiling, new_ceiling)


def _sinks(old: int | None, new: int | None) -> bool:
    """Whether an upper bound is set or gets lower; None is none."""
    return new is not None and (old is None or new < old)


def _speaks_of_less(old: Iterable[Any], new: Iterable[Any]) -> bool:
    before, after = set(old), set(new)
    return bool(after) and (not before or not before <= after)
