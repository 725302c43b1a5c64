"""How the pages behave for one person."""

from __future__ import annotations

from decimal import Decimal

from accounts.models import User

SLOWEST, FASTEST = Decimal("0.75"), Decimal(2)


def set_preferences(
    *,
    user: User,
    uses_letter_keys: bool | None = None,
    playback_speed: Decimal | None = None,
    skips_silence: bool | None = None,
) -> None:
    """Remember what is given: letter keys, speed (0.75 to 2), skipping of silence."""
    changes: dict[str, bool | Decimal] = {}
    if uses_letter_keys is not None:
        changes["uses_letter_keys"] = uses_letter_keys
    if playback_speed is not None:
        changes["playback_speed"] = min(max(playback_speed, SLOWEST), FASTEST)
    if skips_silence is not None:
        changes["skips_silence"] = skips_silence
    if changes:
        User.objects.filter(pk=user.pk).update(**changes)
