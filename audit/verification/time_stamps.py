"""Checks the time stamps of a log's heads, and says which time the newest vouches for."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from audit import time_stamps
from audit.models import Checkpoint, TimeStamp
from audit.time_stamps import NotStamped, OtherContent, Trust
from audit.verification.verdicts import Attested, Verdict

KEY = "rfc3161"


def count_stamped(verdict: Verdict) -> None:
    """Check each time stamp against the head it stands beside: there is one a day."""
    found = TimeStamp.objects.filter(log=verdict.log).order_by("size")
    if not found.exists():
        return
    try:
        trust = time_stamps.trusted()
    except ImproperlyConfigured as error:
        verdict.cannot_tell(f"The time stamps were not checked: {error}")
        return
    if trust is None:
        verdict.notes.append(
            "The time stamps were not checked: AUDIT_TSA_CERTIFICATE names no file."
        )
        return
    for stamp in found.iterator():
        _check(verdict, stamp, trust)


def _check(verdict: Verdict, stamp: TimeStamp, trust: Trust) -> None:
    note = Checkpoint.objects.get(log=stamp.log, size=stamp.size).note
    try:
        at = trust.check(response=bytes(stamp.response), note=note)
    except OtherContent:
        verdict.fault(f"the head of {stamp.size} events is not the one that was time-stamped.")
        return
    except NotStamped as error:
        # Or it is certified by others than those that are trusted now.
        verdict.cannot_tell(f"Of the head of {stamp.size} events {error}")
        return
    if at != stamp.stamped_at:
        verdict.fault(f"the time stamp of the head of {stamp.size} events was dated anew.")
        return
    before = verdict.attested.get(KEY)
    heads = before.heads + 1 if before else 1
    verdict.attested[KEY] = Attested("time-stamped", heads, stamp.size, at)
