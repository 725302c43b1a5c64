"""Whether anything that is kept could end earlier by a change of a rule or a limit; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from retention.due_dates import can_end_earlier

# What a version speaks of: empty speaks of everything.
_SCOPE = ("kinds", "teams", "queues")
_TIME = ("keep_months", "keep_days")
# What has no influence on when something ends.
_ELSEWHERE = ("legal_basis",)


def shortens(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """
    Whether something could end earlier when a version of a rule says `new` instead of `old`.

    Both are by the names of a version's fields. Unknown means yes: a difference in a field that is
    not spoken of here shortens.
    """
    if can_end_earlier(
        (new["keep_months"], new["keep_days"]), (old["keep_months"], old["keep_days"])
    ):
        return True
    if any(_speaks_of_less(old[name], new[name]) for name in _SCOPE):
        return True
    if old["article_9_condition"] and not new["article_9_condition"]:
        return True
    known = {*_SCOPE, *_TIME, *_ELSEWHERE, "article_9_condition"}
    return any(old[name] != new[name] for name in new if name not in known)


def limits_shorten(
    old: tuple[int | None, int | None] | None, new: tuple[int | None, int | None]
) -> bool:
    """Whether something could end earlier by another floor and ceiling, in months or None."""
    old_floor, old_ceiling = old or (None, None)
    new_floor, new_ceiling = new
    floor_sinks = old_floor is not None and (new_floor is None or new_floor < old_floor)
    ceiling_sinks = new_ceiling is not None and (old_ceiling is None or new_ceiling < old_ceiling)
    return floor_sinks or ceiling_sinks


def _speaks_of_less(old: Iterable[Any], new: Iterable[Any]) -> bool:
    before, after = set(old), set(new)
    return bool(after) and (not before or not before <= after)
