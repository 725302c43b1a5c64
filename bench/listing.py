"""The list of conversations, through the whole HTTP stack, for readers of few teams and of all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from statistics import median
from unittest import mock
from uuid import UUID

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from audit import clock
from bench.centre import Centre
from bench.measuring import Line, Scale, WrongAnswer, compared, require_same, seconds, take_turns
from bench.rows import make_conversations
from recordings.queries import PAGE_ROWS, find_page

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
CONVERSATIONS = {Scale.SMALL: 10_000, Scale.FULL: 100_000}
PAGES_A_ROUND = 20
ROUNDS = 5
PAGE_SIZES = (10, 50)
MAX_QUERIES = 12
TRANSACTION_CONTROL = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")
LINK = re.compile(r'href="/conversations/([0-9a-f-]{36})/')

# The same question put plainly, as its own control: read everything, sort, cut.
PLAINLY = """
SELECT c.id FROM recordings_conversation c
WHERE c.state = 'kept' AND c.restricted_at IS NULL AND c.closed_at IS NULL
  AND c.id IN (SELECT conversation_id FROM recordings_segment WHERE team_id = ANY(%s))
  AND c.id IN (SELECT conversation_id FROM recordings_permitteduse
               WHERE purpose_id = %s AND from_at <= %s AND until_at > %s AND only_for_id IS NULL)
ORDER BY c.started_at DESC, c.id DESC LIMIT %s
"""


def measure(centre: Centre, scale: Scale) -> Iterator[Line]:
    """Measure the first page for three readers, and count its queries."""
    make_conversations(centre, CONVERSATIONS[scale])
    clients = {}
    with centre.stage.acting_as("web"):
        for user in (centre.reader_of_five, centre.reader_of_all, centre.reader_of_old):
            clients[user] = _client(user)
    for user, teams in (
        (centre.reader_of_five, centre.five_teams),
        (centre.reader_of_all, centre.teams),
        (centre.reader_of_old, centre.teams[-1:]),
    ):
        expected = _plainly(centre, [team.pk for team in teams])
        with centre.stage.acting_as("web"):
            require_same(_shown(clients[user]), expected, user.full_name)
    with centre.stage.acting_as("web"):
        five, everything, old = take_turns(
            *(partial(_page_milliseconds, client) for client in clients.values()), rounds=ROUNDS
        )
        yield compared("list_page_100k", "ms", five, everything)
        yield compared("list_page_old_only", "ms", old, everything)
        small, large = (_queries(clients[centre.reader_of_five], size) for size in PAGE_SIZES)
        if max(small, large) > MAX_QUERIES:
            raise WrongAnswer(f"The list asks {small} and {large} queries, not {MAX_QUERIES}.")
        yield Line("list_page_queries", large, "queries", small, large / small)


def _client(user: User) -> Client:
    client = Client()
    client.force_login(user, backend=BACKEND)
    return client


def _shown(client: Client) -> list[UUID]:
    response = client.get(reverse("recordings:conversations"))
    require_same(response.status_code, 200, "The list")
    return [UUID(found) for found in LINK.findall(response.content.decode())]


def _plainly(centre: Centre, team_ids: list[UUID]) -> list[UUID]:
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(PLAINLY, [team_ids, centre.coaching.pk, now, now, PAGE_ROWS])
        return [row[0] for row in cursor.fetchall()]


def _page_milliseconds(client: Client, _round: int) -> float:
    address = reverse("recordings:conversations")
    return 1000 * median(seconds(lambda: client.get(address)) for _ in range(PAGES_A_ROUND))


def _queries(client: Client, size: int) -> int:
    """Count the statements of one page of that size, those that only mark transactions apart."""
    sized = partial(find_page, rows_per_page=size)
    with (
        mock.patch("recordings.operations.listing.find_page", sized),
        CaptureQueriesContext(connection) as captured,
    ):
        require_same(len(_shown(client)), size, "Rows of the page")
    return sum(
        not query["sql"].startswith(TRANSACTION_CONTROL) for query in captured.captured_queries
    )
