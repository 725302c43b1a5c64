"""Events by the hundred thousand, written by SQL through the triggers of the log."""

from __future__ import annotations

from django.db import connection

# A canonical body of the usual length: somebody has listened to a stretch of a recording. Spread
# over the last months, among 200 people and 50,000 conversations.
MAKE = """
INSERT INTO audit_event (log, about_conversation, body)
SELECT %(log)s, true, format(
    '{"act":{"ref":"%%s","role":"coach","t":"user"},"bas":"team_permission:%%s",'
    '"id":"%%s","obj":{"ref":"%%s","t":"dialog"},"op":"dialog.played","out":"allow",'
    '"pur":"coaching","req":{"id":"%%s"},"sub":"%%s","ts":"%%s","v":1,'
    '"x":{"conversation":"%%s","first_byte":0,"last_byte":1048575,"play":"%%s"}}',
    md5('actor' || n %% 200)::uuid, md5('permission' || n %% 7)::uuid, md5('event' || n)::uuid,
    md5('dialog' || n %% 50000)::uuid, substr(md5('request' || n), 1, 16),
    md5('subject' || n %% 30000)::uuid,
    to_char((now() AT TIME ZONE 'UTC') - interval '60 days' + interval '60 days' * n / %(count)s,
            'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    md5('conversation' || n %% 50000)::uuid, md5('play' || n / 5)::uuid)
FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""
ROWS_AT_ONCE = 100_000


def make_events(*, log: str, count: int) -> None:
    """Write so many events into a log, oldest first, and have them analyzed."""
    with connection.cursor() as cursor:
        for first in range(1, count + 1, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE - 1, count)
            cursor.execute(MAKE, {"log": log, "count": count, "first": first, "last": last})
        cursor.execute("VACUUM (ANALYZE) audit_event")
