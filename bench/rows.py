"""Conversations by the hundred thousand, written by SQL: rows alone, without any content."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from audit import clock
from bench.centre import Centre

OLD_CONVERSATIONS = 200

# Spread over a year, more of them lately. Each team gets its share except the last one, which has
# OLD_CONVERSATIONS in the oldest month. One in eight was handed on to a second team; for one in
# twelve the time for coaching is over, and another purpose keeps it; one in a hundred is held
# back. Numbers are drawn from hashes, so that each run has the same. Ids are in the order of time,
# as those that capture gives.
CONVERSATIONS = """
CREATE TEMPORARY TABLE drawn ON COMMIT DROP AS
SELECT (lpad(to_hex((extract(epoch FROM started_at) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid AS id,
       numbers.*
FROM (SELECT n,
       n <= %(old)s AS is_old,
       CASE WHEN n <= %(old)s
            THEN %(now)s - interval '335 days' - interval '25 days' * n / %(old)s
            ELSE %(now)s - interval '364 days' * power(hash_share(n, 1), 1.3) - interval '2 hours'
       END AS started_at,
       hash_share(n, 2) * 900 + 20 AS seconds,
       CASE WHEN n <= %(old)s THEN %(teams)s ELSE 1 + floor(hash_share(n, 3) * (%(teams)s - 1))
       END::int AS team,
       CASE WHEN n > %(old)s AND hash_share(n, 4) < 0.125
            THEN 1 + floor(hash_share(n, 5) * (%(teams)s - 1)) END::int AS second_team,
       n > %(old)s AND hash_share(n, 6) < 1 / 12.0 AS is_over,
       n > %(old)s AND hash_share(n, 7) < 0.01 AS is_restricted
FROM generate_series(1, %(count)s) AS n) AS numbers;

INSERT INTO recordings_conversation (
    id, controller_id, source_id, external_id, external_id_hash, content_hash, kind, direction,
    started_at, ended_at, duration_seconds, message_count, language, tags, notice, informed_by,
    captured_at, state, destroy_after, hold_count, open_requests, restricted_at, kek_name,
    wrapped_key)
SELECT id, %(controller)s, %(source)s, 'call-' || n, sha256(n::text::bytea),
       sha256(('content' || n)::bytea), 'call', 'inbound',
       started_at, started_at + interval '1 second' * seconds, seconds, 0,
       CASE n %% 5 WHEN 0 THEN 'sv' WHEN 1 THEN 'en' ELSE 'fi' END, '[]', '', '',
       started_at + interval '1 hour', 'kept', started_at + interval '24 months', 0, 0,
       CASE WHEN is_restricted THEN %(now)s END, 'kek/bench/open', sha256(n::text::bytea)
FROM drawn ORDER BY started_at;

INSERT INTO recordings_party (id, conversation_id, position, role, sealed_details)
SELECT gen_random_uuid(), id, position, CASE position WHEN 0 THEN 'agent' ELSE 'customer' END,
       sha256(n::text::bytea)
FROM drawn, generate_series(0, 1) AS position ORDER BY started_at;

INSERT INTO recordings_segment (id, conversation_id, from_at, until_at, team_id)
SELECT gen_random_uuid(), id, started_at, started_at + interval '1 second' * seconds,
       (%(team_ids)s::uuid[])[team]
FROM drawn ORDER BY started_at;

INSERT INTO recordings_segment (id, conversation_id, from_at, until_at, team_id)
SELECT gen_random_uuid(), id, started_at + interval '0.5 second' * seconds,
       started_at + interval '1 second' * seconds, (%(team_ids)s::uuid[])[second_team]
FROM drawn WHERE second_team IS NOT NULL ORDER BY started_at;

INSERT INTO recordings_permitteduse (
    id, conversation_id, purpose_id, from_at, until_at, authority_kind, authority)
SELECT gen_random_uuid(), id, %(purpose)s, started_at,
       CASE WHEN is_over THEN greatest(started_at + interval '1 second', %(now)s - interval '1 day')
            ELSE started_at + interval '13 months' END,
       'rule', %(source)s
FROM drawn ORDER BY started_at;
"""

HASH_SHARE = """
CREATE FUNCTION pg_temp.hash_share(n integer, salt integer) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT (hashint8extended(n, salt) & 1073741823) / 1073741824.0::double precision
$$
"""


def make_conversations(centre: Centre, count: int) -> None:
    """Write so many conversations with parties, segments and uses, and have them analyzed."""
    values: dict[str, Any] = {
        "now": clock.now(),
        "count": count,
        "old": OLD_CONVERSATIONS,
        "teams": len(centre.teams),
        "team_ids": [team.pk for team in centre.teams],
        "controller": centre.controller.pk,
        "source": centre.source.pk,
        "purpose": centre.coaching.pk,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(HASH_SHARE)
        for statement in CONVERSATIONS.replace("hash_share(", "pg_temp.hash_share(").split(";\n"):
            if statement.strip():
                used = {name: value for name, value in values.items() if f"%({name})s" in statement}
                cursor.execute(statement, used)
    with connection.cursor() as cursor:
        for table in ("conversation", "party", "segment", "permitteduse"):
            cursor.execute(f"VACUUM (ANALYZE) recordings_{table}")
