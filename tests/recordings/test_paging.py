"""Pages by key: every row once, in order, both ways, whatever stands in the address."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db.models import QuerySet
from hypothesis import given
from hypothesis import strategies as st

from recordings.models import QuarantinedItem
from recordings.paging import Cursor, Page, page_of
from tests.factories import Centre

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def waiting(centre: Centre, count: int, *, since: datetime = AT) -> list[UUID]:
    """Put rows aside, three of each time; gives their ids, newest first."""
    made = QuarantinedItem.objects.bulk_create(
        QuarantinedItem(
            source=centre.pbx,
            controller=centre.vakka,
            received_at=since + timedelta(seconds=number // 3),
            decide_before=AT,
            reason=f"Reason {number}.",
            content_hash=uuid4().bytes,
            size_bytes=1,
            sealed_name=b"",
            object_key=f"quarantine/{uuid4()}",
            version_id="1",
            kek_name="kek",
            wrapped_key=b"",
        )
        for number in range(count)
    )
    return [item.pk for item in sorted(made, key=lambda row: (row.received_at, row.pk))[::-1]]


def read(rows: QuerySet[QuarantinedItem], cursor: Cursor | None, size: int = 4) -> Page:
    return page_of(rows, field="received_at", cursor=cursor, size=size)


class TestPageOf:
    @pytest.mark.parametrize("count", [0, 1, 4, 5, 8, 10])
    def test_gives_every_row_once_there_and_back(self, centre: Centre, count: int):
        expected = waiting(centre, count)
        rows = QuarantinedItem.objects.all()

        page = read(rows, None)
        pages = [page]
        while page.older:
            page = read(rows, page.older)
            pages.append(page)
        back = [page]
        while page.newer:
            page = read(rows, page.newer)
            back.append(page)

        assert [row.pk for page in pages for row in page.rows] == expected
        assert [[row.pk for row in page.rows] for page in back[::-1]] == [
            [row.pk for row in page.rows] for page in pages
        ]
        assert pages[0].newer is None

    def test_does_not_shift_when_rows_come_and_go(self, centre: Centre):
        expected = waiting(centre, 8)
        rows = QuarantinedItem.objects.waiting()
        first = read(rows, None)
        waiting(centre, 5, since=AT + timedelta(hours=1))
        rows.filter(pk=expected[3]).update(wrapped_key=None, key_destroyed_at=AT)

        second = read(rows, first.older)

        assert [row.pk for row in second.rows] == expected[4:]

    def test_beyond_the_last_row_there_is_nothing(self, centre: Centre):
        waiting(centre, 3)

        page = read(QuarantinedItem.objects.all(), Cursor(AT - timedelta(days=1), uuid4()))

        assert (list(page.rows), page.newer, page.older) == ([], None, None)


class TestCursor:
    @given(
        st.datetimes(
            timezones=st.just(UTC),
        ),
        st.uuids(),
        st.booleans(),
    )
    def test_is_read_back_as_it_was_written(self, at: datetime, identifier: UUID, backward: bool):
        cursor = Cursor(at, identifier, backward)

        assert Cursor.parse(str(cursor)) == cursor

    @given(st.text(max_size=80))
    def test_never_fails_on_what_stands_in_an_address(self, text: str):
        found = Cursor.parse(text)

        assert found is None or str(found.id) in text or found.at.tzinfo

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "f",
            "x2026-03-01T12:00:00+00:00_00000000-0000-0000-0000-000000000000",
            "f2026-03-01T12:00:00_00000000-0000-0000-0000-000000000000",
            "f2026-03-01T12:00:00+00:00_x",
            "fnow_00000000-0000-0000-0000-000000000000",
        ],
    )
    def test_is_none_for_what_is_not_ours(self, text: str):
        assert Cursor.parse(text) is None

    @pytest.mark.parametrize(
        "text",
        [
            "rubbish",
            "b0001-01-01T00:00:00+14:00_00000000-0000-0000-0000-000000000000",
            "f9999-12-31T23:59:59-14:00_00000000-0000-0000-0000-000000000000",
        ],
    )
    def test_in_an_address_never_breaks_the_page(
        self, centre: Centre, signed_in: Callable, text: str
    ):
        answer = signed_in(centre.alice).get("/conversations/", {"cursor": text})

        assert answer.status == 200
