"""Quarantine: nothing is dropped, nothing is seen, and it waits once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import DatabaseError

from audit import clock
from audit.models import AuditDetail, Event
from config.servers import Servers
from config.servers.identities import CONTENT_BUCKET
from recordings.encryption import decrypt_bytes
from recordings.models import QuarantinedItem
from recordings.objectstore import ObjectStore, StoreUnavailable
from recordings.operations.quarantine import quarantine
from tests.factories import Centre
from tests.harness.faults import log_refused
from tests.recordings.deliveries import store_that_is_down

BODY = b"said in confidence " * 1000
REASON = "The sound is damaged and cannot be decoded to its end."


def put_aside(
    centre: Centre,
    *,
    body: bytes = BODY,
    reason: str = REASON,
    name: str = "Outi Olematon.wav",
    store: ObjectStore | None = None,
) -> QuarantinedItem:
    def chunks() -> Iterator[bytes]:
        yield body[:100]
        yield body[100:]

    with centre.stage.acting_as("work"):
        return quarantine(
            source=centre.pbx,
            name=name,
            chunks=chunks,
            reason=reason,
            store=store or ObjectStore.for_content(),
            keyring=centre.keyring(),
            now=clock.now(),
        )


class TestQuarantine:
    def test_keeps_the_bytes_and_the_name_encrypted_and_says_so_in_the_log(self, centre: Centre):
        item = put_aside(centre)

        key = centre.keyring().unwrap(
            kek_name=item.kek_name, wrapped_key=bytes(item.wrapped_key), context=item.pk.bytes
        )
        with centre.stage.acting_as("work"):
            stored = ObjectStore.for_content().get(item.object_key, item.version_id)
        assert decrypt_bytes(stored, key=key, associated_data=item.pk.bytes) == BODY
        name = decrypt_bytes(bytes(item.sealed_name), key=key, associated_data=item.pk.bytes)
        assert name == b"Outi Olematon.wav"
        assert BODY[:20] not in stored
        assert (item.size_bytes, item.reason) == (len(BODY), REASON)
        assert item.decide_before - item.received_at == timedelta(days=30)
        event = Event.objects.get(event_type="capture.quarantined")
        assert (event.log, event.target) == (str(centre.vakka.pk), str(item.pk))
        # The reason can name what was in the file: it is detail, which can be erased.
        assert REASON not in event.body
        assert REASON in AuditDetail.objects.get(event_id=event.event_id).text

    def test_a_second_time_it_waits_once(self, centre: Centre, servers: Servers):
        first, second = put_aside(centre), put_aside(centre, name="another name.wav")

        assert first.pk == second.pk
        assert Event.objects.filter(event_type="capture.quarantined").count() == 1
        listed = servers.s3("admin").list_object_versions(
            Bucket=CONTENT_BUCKET, Prefix=first.object_key
        )
        assert len(listed["Versions"]) == 1

    def test_for_another_reason_or_with_other_bytes_it_waits_again(self, centre: Centre):
        items = {
            put_aside(centre).pk,
            put_aside(centre, reason="The file is empty.").pk,
            put_aside(centre, body=BODY + b"!").pk,
        }

        assert len(items) == 3

    def test_an_endless_reason_is_cut(self, centre: Centre):
        item = put_aside(centre, reason="x" * 1000)

        assert len(item.reason) == 300
        assert put_aside(centre, reason="x" * 1000).pk == item.pk

    def test_a_name_that_is_no_text_is_kept_as_far_as_it_goes(self, centre: Centre):
        assert put_aside(centre, name="bad\udcff.wav").pk

    def test_the_store_is_down(self, centre: Centre):
        with pytest.raises(StoreUnavailable):
            put_aside(centre, store=store_that_is_down())

        assert not QuarantinedItem.objects.exists()
        assert put_aside(centre).pk

    def test_the_audit_log_is_down(self, centre: Centre):
        with log_refused(centre.stage), pytest.raises(DatabaseError):
            put_aside(centre)

        assert not QuarantinedItem.objects.exists()
        assert put_aside(centre).pk


class TestPage:
    def test_shows_the_officer_the_reason_and_neither_name_nor_content(
        self, centre: Centre, signed_in: Callable
    ):
        put_aside(centre)

        answer = signed_in(centre.olga).get("/conversations/quarantine/")

        assert answer.status == 200
        assert REASON in answer.text
        assert "Outi" not in answer.text
        assert "confidence" not in answer.text
        assert Event.objects.filter(event_type="quarantine.viewed").count() == 1

    def test_is_nothing_for_an_outsider_and_her_try_is_in_the_log(
        self, centre: Centre, signed_in: Callable
    ):
        put_aside(centre)

        for somebody in (centre.alice, centre.casper, centre.sulo):
            answer = signed_in(somebody).get("/conversations/quarantine/")

            assert answer.status == 404
            assert REASON not in answer.text
        assert Event.objects.filter(event_type="page.refused").count() == 3

    def test_shows_an_officer_of_another_company_nothing_of_this_one(
        self, centre: Centre, signed_in: Callable
    ):
        put_aside(centre)
        centre.olga.role_assignments.update(controller=centre.onni)

        answer = signed_in(centre.olga).get("/conversations/quarantine/")

        assert answer.status == 200
        assert REASON not in answer.text

    def test_shows_nothing_when_that_cannot_be_logged(self, centre: Centre, signed_in: Callable):
        put_aside(centre)
        olga = signed_in(centre.olga)

        with log_refused(centre.stage):
            answer = olga.get("/conversations/quarantine/")

        assert answer.status == 503
        assert REASON not in answer.text
