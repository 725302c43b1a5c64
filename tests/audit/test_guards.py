"""The database itself refuses to have the log altered or forged, whoever asks."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.db import DatabaseError, transaction

from audit.models import Event
from audit.operations import open_log
from tests.audit.given import happened, insert, played, rows, run, signed_in

pytestmark = pytest.mark.django_db

REFUSED = "The audit log is never altered"
TABLES = "SELECT relid::text FROM pg_partition_tree('audit_event') ORDER BY 1"


@pytest.fixture
def events():
    controller = uuid4()
    open_log(log=controller)
    return [
        happened(members)
        for log in (None, controller, uuid4())
        for members in (played(log=log), signed_in(log=log))
    ]


def refuses(statement: str, *, saying: str) -> bool:
    with pytest.raises(DatabaseError, match=saying), transaction.atomic():
        run(statement)
    return True


class TestOwner:
    def test_cannot_update_delete_or_truncate_on_the_table_or_any_partition(self, events):
        before = list(Event.objects.order_by("id").values_list("body", flat=True))

        for (table,) in rows(TABLES):
            held = rows(f"SELECT count(*) FROM {table}")[0][0]
            assert refuses(f"TRUNCATE {table}", saying=REFUSED)
            assert refuses(f"TRUNCATE {table} CASCADE", saying=REFUSED)
            if held:
                assert refuses(f"DELETE FROM {table}", saying=REFUSED)
                assert refuses(f"UPDATE {table} SET body = body", saying=REFUSED)
                assert refuses(f"UPDATE {table} SET recorded_at = recorded_at", saying=REFUSED)

        assert list(Event.objects.order_by("id").values_list("body", flat=True)) == before
        assert len(before) == 6

    def test_cannot_do_so_through_the_orm(self, events):
        with pytest.raises(DatabaseError, match=REFUSED):
            Event.objects.all().delete()
        with pytest.raises(DatabaseError, match=REFUSED):
            Event.objects.update(body="{}")

    def test_finds_both_refusals_on_every_partition(self, events):
        guarded = dict(
            rows(
                "SELECT tgrelid::regclass::text, array_agg(tgname::text ORDER BY tgname) "
                "FROM pg_trigger WHERE tgenabled = 'O' GROUP BY 1"
            )
        )

        tables = [table for (table,) in rows(TABLES)]
        assert len(tables) == 2 + 2 * 6
        for table in tables:
            assert {"audit_event_refuse_change", "audit_event_refuse_truncate"} <= set(
                guarded[table]
            )

    def test_cannot_rewrite_a_detail_or_a_log(self, events):
        happened(signed_in(detail={"reason": "because"}))

        assert refuses("UPDATE audit_detail SET text = '{}'", saying=REFUSED)
        assert refuses("TRUNCATE audit_detail", saying=REFUSED)
        assert refuses("DELETE FROM audit_log", saying=REFUSED)


class TestApplicationRoles:
    def test_append_and_nothing_else(self, acting_as, events):
        for role in ("web", "work", "purge"):
            with acting_as(role):
                for (table,) in rows(TABLES):
                    assert refuses(f"DELETE FROM {table}", saying="permission denied")
                    assert refuses(f"UPDATE {table} SET body = '{{}}'", saying="permission denied")
                    assert refuses(f"TRUNCATE {table}", saying="permission denied")
                    assert refuses(f"DROP TABLE {table}", saying="must be owner")
                insert("installation", False, _body(events[1]))

        assert Event.objects.count() == len(events) + 3

    def test_cannot_choose_what_the_database_fills_in(self, acting_as, events):
        chosen = {
            "id": "1",
            "month": "'2020-01-01'",
            "recorded_at": "'2020-01-01'",
            "actor": "'system:nobody'",
            "event_type": "'session.signed_in'",
            "happened_at": "'2020-01-01'",
        }
        with acting_as("web"):
            for column, value in chosen.items():
                assert refuses(
                    f"INSERT INTO audit_event (log, about_conversation, body, {column}) "
                    f"OVERRIDING SYSTEM VALUE VALUES ('installation', false, "
                    f"'{_body(events[1])}', {value})",
                    saying="permission denied",
                )

    def test_cannot_insert_into_a_partition_past_its_month(self, acting_as, events):
        with acting_as("web"):
            for (table,) in rows(TABLES):
                if table != "audit_event":
                    assert refuses(
                        f"INSERT INTO {table} (log, about_conversation, body) "
                        f"VALUES ('installation', false, '{_body(events[1])}')",
                        saying="permission denied",
                    )

    def test_cannot_tend_the_log(self, acting_as):
        with acting_as("web"):
            assert refuses(f"SELECT audit_open_log('{uuid4()}')", saying="permission denied")
            assert refuses("SELECT audit_create_partitions(1)", saying="permission denied")
            assert refuses("SELECT setval('audit_clock_mark', 1)", saying="permission denied")
            assert refuses("DELETE FROM audit_detail", saying="permission denied")

    def test_cannot_forge_log_class_or_form(self, acting_as, events):
        about, other = _body(events[0]), _body(events[1])
        controllers = _body(events[2])
        forged = [
            (str(uuid4()), True, about),
            ("installation", True, controllers),
            ("nobody", False, other),
            ("installation", False, about),
            ("installation", True, other),
            ("installation", False, _with(other, ctl="installation")),
            ("installation", False, "[1]"),
            ("installation", False, "nonsense"),
            ("installation", False, "{}"),
            ("installation", False, other[:-1] + ',"op":"session.signed_out"}'),
            ("installation", False, _with(other, pad="x" * 65_535)),
        ]

        with acting_as("web"):
            for log, about_conversation, body in forged:
                with pytest.raises(DatabaseError), transaction.atomic():
                    insert(log, about_conversation, body)

        assert Event.objects.count() == len(events)


def _body(event: Event) -> str:
    return _with(event.body, id=str(uuid4()))


def _with(body: str, **members: str) -> str:
    return json.dumps({**json.loads(body), **members})
