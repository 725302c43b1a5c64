"""The log's page: for those who may read that log, each look an event, all else a logged 404."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any
from uuid import uuid4

import kombu.pools
import pytest
from asgiref.sync import async_to_sync
from celery import current_app
from django.test import AsyncClient
from django.urls import reverse

from accounts.models import User
from audit import clock, proofs, queries, verify
from audit.events import Actor, EventType
from audit.models import Checkpoint, Event
from audit.operations import AuditUnavailable, exporting
from audit.tasks import verify_log, verify_logs
from tests.audit.given import at_minute, events, happened, played, run, signed_in

pytestmark = pytest.mark.django_db


def page(**wanted: object) -> str:
    query = "&".join(f"{key}={value}" for key, value in wanted.items())
    return f"{reverse('audit:log')}?{query}"


class TestLogPage:
    def test_shows_what_happened_with_names_and_the_reason_it_was_allowed(
        self, signed_in, vakka, olga
    ):
        happened(
            played(
                log=vakka.pk,
                actor=Actor.user(olga.reference, role="compliance_officer"),
                basis="matter:dispute",
            )
        )

        answer = signed_in(olga).get(page(), headers={"Accept-Language": "en"})

        text = answer.text
        assert answer.status == 200
        assert "Olga Officer" in text
        assert "A recording was listened to" in text
        assert "Why allowed" in text
        assert "matter: dispute" in text

    def test_is_an_event_itself(self, signed_in, vakka, olga):
        signed_in(olga).get(page(what="dialog.played"))

        (look,) = events(EventType.AUDIT_LISTED)
        assert (look.log, look.actor) == (str(vakka.pk), str(olga.reference))
        assert json.loads(look.body)["x"] == {"count": 0, "filters": ["type"]}

    def test_answers_an_outsider_with_404_and_says_so_in_the_log(self, signed_in, vakka, charlie):
        happened(played(log=vakka.pk))

        answer = signed_in(charlie).get(page(log=vakka.pk))

        assert answer.status == 404
        (refusal,) = events(EventType.PAGE_REFUSED)
        assert (refusal.log, refusal.actor) == (str(vakka.pk), str(charlie.reference))
        assert not events(EventType.AUDIT_LISTED)

    def test_does_not_tell_a_log_one_may_not_see_from_none(self, signed_in, onni, olga):
        visitor = signed_in(olga)

        forbidden = visitor.get(page(log=onni.pk))
        absent = visitor.get(page(log=uuid4()))
        nonsense = visitor.get(page(log="x y"))

        assert {forbidden.status, absent.status, nonsense.status} == {404}
        assert events(EventType.PAGE_REFUSED).count() == 3
        assert Event.objects.filter(log=str(onni.pk)).count() == 1

    def test_refuses_a_superuser_without_the_role(self, signed_in, vakka):
        sulo = User.objects.create_superuser("sulo@example.com", full_name="Sulo")

        assert signed_in(sulo).get(page(log=vakka.pk)).status == 404

    def test_shows_one_log_at_a_time(self, signed_in, vakka, onni, aune):
        of_vakka = happened(signed_in_event(log=vakka.pk))
        of_onni = happened(signed_in_event(log=onni.pk))

        text = signed_in(aune).get(page(log=onni.pk)).text

        assert str(of_onni.event_id) in text
        assert str(of_vakka.event_id) not in text

    def test_pages_to_older_events(self, signed_in, vakka, olga, monkeypatch):
        for minute in range(4):
            happened(played(log=vakka.pk, now=at_minute(minute)))
        visitor = signed_in(olga)
        monkeypatch.setattr("audit.queries.PAGE_ROWS", 3)

        first = visitor.get(page(until_date="2026-12-31", what="dialog.played"))
        (older_url,) = re.findall(r'rel="next"\s+href="([^"]+)"', first.text)
        older = visitor.get(reverse("audit:log") + unescape(older_url))

        assert re.findall(r"T\d\d:(\d\d):00", first.text) == ["03", "02", "01"]
        assert re.findall(r"T\d\d:(\d\d):00", older.text) == ["00"]
        assert 'rel="next"' not in older.text

    @pytest.mark.parametrize(
        "wrong", [{"who": "Matti Virtanen"}, {"from_date": "eilen"}, {"what": "x"}]
    )
    def test_says_what_is_wrong_with_a_filter(self, signed_in, vakka, olga, wrong):
        answer = signed_in(olga).get(page(**wrong))

        assert answer.status == 200
        assert 'aria-invalid="true"' in answer.text

    def test_answers_a_broken_place_with_404(self, signed_in, vakka, olga):
        assert signed_in(olga).get(page(after="%00")).status == 404

    def test_shows_nothing_when_the_look_cannot_be_logged(self, signed_in, vakka, olga):
        listened = happened(played(log=vakka.pk))
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        answer = signed_in(olga).get(page())

        assert answer.status == 503
        assert str(listened.event_id) not in answer.text

    def test_still_refuses_when_the_refusal_cannot_be_logged(self, signed_in, vakka, charlie):
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        assert signed_in(charlie).get(page(log=vakka.pk)).status == 404


class TestExportButton:
    def test_sends_a_bundle_of_what_the_page_lists(self, sealer, signed_in, vakka, olga, tmp_path):
        happened(signed_in_event(log=vakka.pk))
        listened = happened(played(log=vakka.pk))

        answer = signed_in(olga).post(
            reverse("audit:export"),
            {"log": str(vakka.pk), "format": "csv", "what": "dialog.played"},
        )

        path = tmp_path / "bundle.zip"
        path.write_bytes(answer.body)
        found = verify.check_bundle(str(path), proofs.public_keys(log=str(vakka.pk)))
        assert found.events == 1
        assert found.manifest["query"]["type"] == "dialog.played"
        assert verify.Files(str(path)).text("events/000001.jsonl") == listened.body + "\n"
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert events(EventType.AUDIT_EXPORTED).get().actor == str(olga.reference)

    def test_sends_it_piece_by_piece_through_asgi(
        self, sealer, stage, signed_in, vakka, olga, monkeypatch
    ):
        for _ in range(4):
            happened(played(log=vakka.pk))
        monkeypatch.setattr("audit.bundles.building.EVENTS_PER_PART", 1)
        browser = AsyncClient()
        browser.cookies = signed_in(olga).client.cookies

        async def pieces() -> list[bytes]:
            answer: Any = await browser.post(
                reverse("audit:export"),
                {"log": str(vakka.pk), "format": "jsonl", "what": "dialog.played"},
            )
            return [piece async for piece in answer.streaming_content]

        with stage.acting_as("web"):
            sent = async_to_sync(pieces)()

        assert len([piece for piece in sent if b"/0000" in piece]) >= 4

    def test_is_refused_for_now_when_nobody_seals(self, signed_in, vakka, olga, monkeypatch):
        monkeypatch.setattr("audit.operations.exporting.PATIENCE_SECONDS", 0.2)

        answer = signed_in(olga).post(
            reverse("audit:export"), {"log": str(vakka.pk), "format": "csv"}
        )

        assert answer.status == 503
        assert "seal_audit" in answer.text

    def test_is_refused_to_an_outsider(self, signed_in, vakka, charlie):
        answer = signed_in(charlie).post(
            reverse("audit:export"), {"log": str(vakka.pk), "format": "csv"}
        )

        assert answer.status == 404
        assert events(EventType.PAGE_REFUSED).get().log == str(vakka.pk)

    def test_sends_nothing_when_it_cannot_be_logged(self, signed_in, vakka, olga):
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        answer = signed_in(olga).post(
            reverse("audit:export"), {"log": str(vakka.pk), "format": "csv"}
        )

        assert answer.status == 503

    def test_is_no_link(self, signed_in, vakka, olga):
        assert signed_in(olga).get(reverse("audit:export")).status == 405


@pytest.fixture
def dead_broker(monkeypatch):
    """A broker that nobody can reach, until the end of the test."""
    with kombu.Connection("redis://127.0.0.1:9/0") as nowhere:
        monkeypatch.setattr(current_app.amqp, "_producer_pool", kombu.pools.producers[nowhere])
        yield


class TestVerification:
    def test_is_asked_for_once_and_done_by_a_worker(
        self, acting_as, sealer, signed_in, vakka, olga
    ):
        wait_until_sealed(happened(played(log=vakka.pk)))
        browser, page = signed_in(olga), f"{reverse('audit:log')}?log={vakka.pk}"
        assert 'id="verification"' in browser.get(page).text
        assert "hx-get" not in browser.get(page).text

        for _ in range(2):
            answer = browser.post(reverse("audit:verify"), {"log": str(vakka.pk)})
            assert answer.status == 302

        running = browser.get(page).text
        assert "hx-get" in running
        assert "polling.js" in running
        assert events(EventType.AUDIT_VERIFICATION_REQUESTED).count() == 1
        with acting_as("work"):
            verify_log(log=str(vakka.pk))
        shown = browser.get(reverse("audit:verification", args=[vakka.pk])).text
        assert "tag ok" in shown
        assert "hx-get" not in shown

    def test_is_not_said_to_be_under_way_when_no_worker_could_be_asked(
        self, signed_in, vakka, olga, dead_broker
    ):
        answer = signed_in(olga).post(reverse("audit:verify"), {"log": str(vakka.pk)})

        assert answer.status == 503
        assert [event.outcome for event in events(EventType.AUDIT_VERIFICATION_REQUESTED)] == [
            "allow",
            "error",
        ]
        assert not queries.last_verification(log=str(vakka.pk), now=clock.now()).is_running

    def test_daily_goes_on_to_the_next_log_when_one_cannot_be_told_of(
        self, acting_as, sealer, vakka, onni
    ):
        for log in (vakka.pk, onni.pk):
            wait_until_sealed(happened(played(log=log)))
        run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no room'; END $$"
        )
        first = min(str(vakka.pk), str(onni.pk))
        run(
            "CREATE TRIGGER aa_refuse BEFORE INSERT ON audit_event FOR EACH ROW "
            f"WHEN (NEW.log = '{first}') EXECUTE FUNCTION refuse()"
        )

        with acting_as("work"), pytest.raises(AuditUnavailable):
            verify_logs()

        told = {event.log for event in events(EventType.AUDIT_VERIFIED)}
        assert told == {"installation", max(str(vakka.pk), str(onni.pk))}

    def test_that_went_badly_is_red(self, acting_as, sealer, signed_in, vakka, olga):
        event = happened(played(log=vakka.pk))
        wait_until_sealed(event)
        run("ALTER TABLE audit_event DISABLE TRIGGER USER")
        run(f"UPDATE audit_event SET actor = 'system:nobody' WHERE id = {event.id}")
        run("ALTER TABLE audit_event ENABLE TRIGGER USER")

        with acting_as("work"):
            verify_log(log=str(vakka.pk))

        shown = signed_in(olga).get(reverse("audit:verification", args=[vakka.pk])).text
        assert "tag danger" in shown
        assert events(EventType.INCIDENT_RAISED).get().log == str(vakka.pk)

    def test_is_refused_to_an_outsider(self, signed_in, vakka, charlie):
        browser = signed_in(charlie)

        asked = browser.post(reverse("audit:verify"), {"log": str(vakka.pk)})
        looked = browser.get(reverse("audit:verification", args=[vakka.pk]))

        assert (asked.status, looked.status) == (404, 404)
        assert not events(EventType.AUDIT_VERIFICATION_REQUESTED).exists()

    def test_is_not_begun_when_it_cannot_be_logged(self, signed_in, vakka, olga):
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        answer = signed_in(olga).post(reverse("audit:verify"), {"log": str(vakka.pk)})

        assert answer.status == 503


class TestProof:
    def test_of_an_event_stands_beside_it(self, sealer, signed_in, vakka, olga):
        listened = happened(played(log=vakka.pk))
        wait_until_sealed(listened)
        browser = signed_in(olga)
        address = reverse("audit:proof", args=[vakka.pk, listened.event_id])

        assert address in browser.get(f"{reverse('audit:log')}?log={vakka.pk}").text
        answer = browser.get(address)

        keys = browser.get(reverse("audit:keys", args=[vakka.pk])).text.splitlines()
        _head, proof = verify.check_proof(answer.text, keys)
        assert proof.extra.decode() == listened.body
        logged = events(EventType.AUDIT_EXPORTED).get()
        assert json.loads(logged.body)["x"]["format"] == "tlog-proof"

    def test_of_two_heads_is_json(self, sealer, signed_in, vakka, olga):
        wait_until_sealed(happened(played(log=vakka.pk)))
        size = Checkpoint.objects.filter(log=str(vakka.pk)).earliest("size").size
        address = reverse("audit:consistency", args=[vakka.pk])

        answer = signed_in(olga).get(f"{address}?earlier={size}")

        assert json.loads(answer.text).keys() == {"earlier", "later", "proof"}
        assert signed_in(olga).get(f"{address}?earlier=many").status == 400
        assert signed_in(olga).get(f"{address}?earlier=123456").status == 404

    @pytest.mark.parametrize("page", ["proof", "consistency", "keys"])
    def test_is_refused_to_an_outsider(self, signed_in, vakka, charlie, page):
        event = happened(played(log=vakka.pk))
        arguments = [vakka.pk, *([event.event_id] if page == "proof" else [])]

        answer = signed_in(charlie).get(reverse(f"audit:{page}", args=arguments) + "?earlier=1")

        assert answer.status == 404
        assert events(EventType.PAGE_REFUSED).get().log == str(vakka.pk)

    def test_of_another_logs_event_is_refused(self, sealer, signed_in, vakka, olga):
        event = happened(played())

        answer = signed_in(olga).get(reverse("audit:proof", args=[vakka.pk, event.event_id]))

        assert answer.status == 404

    def test_is_not_given_when_it_cannot_be_logged(self, sealer, signed_in, vakka, olga):
        listened = happened(played(log=vakka.pk))
        wait_until_sealed(listened)
        run("REVOKE INSERT (log, about_conversation, body) ON audit_event FROM tallenne_web")

        answer = signed_in(olga).get(reverse("audit:proof", args=[vakka.pk, listened.event_id]))

        assert answer.status == 503


def wait_until_sealed(event: Event) -> None:
    exporting.head_with(event.event_id, event.log)


signed_in_event = signed_in
