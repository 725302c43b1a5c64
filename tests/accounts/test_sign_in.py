"""Signing in and out: by one door, each try an event, and never more than five bad ones."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from django.contrib.sessions.models import Session
from django.test import override_settings
from django.urls import reverse

from accounts.middleware import BEGAN, LAST_SEEN
from audit import clock
from audit.models import AuditDetail, Event
from tests.factories import PASSWORD, Centre, sound_of
from tests.harness.faults import log_refused
from tests.harness.visitors import Answer, Visitor

SIGN_IN = "/account/login/"


def sign_in(visitor: Visitor, email: str, password: str = PASSWORD, **said: str) -> Answer:
    return visitor.post(SIGN_IN, {"login": email, "password": password, **said})


def is_signed_in(visitor: Visitor) -> bool:
    return visitor.get("/me/access/").status == 200


def events(event_type: str) -> list[Event]:
    return list(Event.objects.filter(event_type=event_type).order_by("id"))


class TestSignIn:
    def test_opens_the_first_page_that_is_hers_and_is_an_event(
        self, centre: Centre, visitor: Visitor
    ):
        answer = sign_in(visitor, centre.alice.email)

        assert (answer.status, answer.headers["Location"]) == (302, "/")
        assert visitor.get("/").headers["Location"] == "/conversations/"
        (event,) = events("session.signed_in")
        assert (event.actor, event.actor_role) == (str(centre.alice.reference), "coach")
        assert centre.alice.email not in event.body

    def test_with_a_wrong_password_is_refused_and_the_address_is_erasable_detail(
        self, centre: Centre, visitor: Visitor
    ):
        answer = sign_in(visitor, centre.alice.email, "wrong")

        assert answer.status == 200
        assert not is_signed_in(visitor)
        (event,) = events("session.refused")
        assert (event.outcome, event.actor) == ("deny", "system:sign_in")
        assert "wrong_credentials" in event.body
        assert centre.alice.email not in event.body
        assert centre.alice.email in AuditDetail.objects.get(event_id=event.event_id).text
        assert "wrong" not in AuditDetail.objects.get(event_id=event.event_id).text
        assert events("session.signed_in") == []

    def test_does_not_tell_an_account_from_none(self, centre: Centre, visitor: Visitor):
        answers = [
            sign_in(visitor, email, "wrong") for email in (centre.alice.email, "nobody@example.com")
        ]

        said = [re.sub(r'value="[^"]*"', "", html.unescape(answer.text)) for answer in answers]
        assert said[0] == said[1]
        assert len(events("session.refused")) == 2

    def test_the_sixth_bad_try_is_refused_whatever_the_password(
        self, centre: Centre, visitor: Visitor
    ):
        for _ in range(5):
            sign_in(visitor, centre.alice.email, "wrong")

        answers = [sign_in(visitor, centre.alice.email, word) for word in ("wrong", PASSWORD)]

        assert [answer.status for answer in answers] == [200, 200]
        assert not is_signed_in(visitor)
        refused = events("session.refused")
        assert ["too_many_tries" in event.body for event in refused] == [False] * 5 + [True] * 2
        assert events("session.signed_in") == []
        # It is that account which is closed for a while, not the house.
        assert sign_in(visitor, centre.bob.email).status == 302

    def test_of_a_closed_account_is_refused_and_logged(self, centre: Centre, visitor: Visitor):
        type(centre.alice).objects.filter(pk=centre.alice.pk).update(is_active=False)

        sign_in(visitor, centre.alice.email)

        assert not is_signed_in(visitor)
        (event,) = events("session.refused")
        assert "inactive" in event.body

    def test_of_who_has_no_password_is_refused(self, centre: Centre, visitor: Visitor):
        for password in ("", "!", PASSWORD):
            sign_in(visitor, centre.sulo.email, password)

        assert not is_signed_in(visitor)

    def test_goes_not_through_when_it_cannot_be_logged(self, centre: Centre, visitor: Visitor):
        with log_refused(centre.stage):
            answers = [
                sign_in(visitor, centre.alice.email),
                sign_in(visitor, centre.alice.email, "wrong"),
            ]

        assert [answer.status for answer in answers] == [503, 503]
        assert not is_signed_in(visitor)
        assert sign_in(visitor, centre.alice.email).status == 302

    @pytest.mark.parametrize(
        "elsewhere",
        [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "javascript:alert(1)",
            "http:///evil.example",
        ],
    )
    def test_never_leads_out_of_the_site(self, centre: Centre, visitor: Visitor, elsewhere: str):
        answer = sign_in(visitor, centre.alice.email, next=elsewhere)

        assert (answer.status, answer.headers["Location"]) == (302, "/")

    def test_leads_back_to_the_page_that_was_asked_for(self, centre: Centre, visitor: Visitor):
        asked = visitor.get("/me/access/")

        answer = sign_in(visitor, centre.alice.email, next="/me/access/")

        assert asked.headers["Location"] == "/account/login/?next=/me/access/"
        assert answer.headers["Location"] == "/me/access/"

    @pytest.mark.parametrize(
        "path", ["signup/", "password/reset/", "email/", "password/set/", "confirm-email/"]
    )
    def test_nobody_makes_or_takes_over_an_account_by_herself(
        self, centre: Centre, visitor: Visitor, signed_in: Callable, path: str
    ):
        for somebody in (visitor, signed_in(centre.alice)):
            for answer in (
                somebody.get(f"/account/{path}"),
                somebody.post(f"/account/{path}", {"email": "new@example.com"}),
            ):
                assert answer.status in (302, 404)
                assert answer.status == 404 or "/account/login/" in answer.headers["Location"]

    def test_a_changed_password_is_an_event(self, centre: Centre, signed_in: Callable):
        alice: Visitor = signed_in(centre.alice)
        new = "sateinen-syyskuu-77"

        alice.post(
            "/account/password/change/",
            {"oldpassword": PASSWORD, "password1": new, "password2": new},
        )

        (event,) = events("password.changed")
        assert event.actor == str(centre.alice.reference)
        assert sign_in(Visitor(centre.stage), centre.alice.email, new).status == 302


class TestSignOut:
    def test_is_an_event_and_clears_what_the_browser_keeps(
        self, centre: Centre, signed_in: Callable
    ):
        alice: Visitor = signed_in(centre.alice)

        answer = alice.post("/account/logout/")

        assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
        assert [event.actor for event in events("session.signed_out")] == [
            str(centre.alice.reference)
        ]
        assert not is_signed_in(alice)
        assert not Session.objects.exists()

    def test_is_not_done_by_following_a_link(self, centre: Centre, signed_in: Callable):
        alice: Visitor = signed_in(centre.alice)

        alice.get("/account/logout/")

        assert is_signed_in(alice)

    def test_of_nobody_is_no_event(self, centre: Centre, visitor: Visitor):
        visitor.post("/account/logout/")

        assert events("session.signed_out") == []


def set_in_session(visitor: Visitor, **values: float) -> None:
    with visitor.stage.acting_as("web"):
        session = visitor.client.session
        session.update(values)
        session.save()


class TestSession:
    @pytest.mark.parametrize(
        ("seen_ago", "began_ago", "goes_on"),
        [
            (timedelta(minutes=29), timedelta(hours=1), True),
            (timedelta(minutes=31), timedelta(hours=1), False),
            (timedelta(minutes=1), timedelta(hours=7, minutes=59), True),
            (timedelta(minutes=1), timedelta(hours=8, minutes=1), False),
        ],
    )
    def test_ends_when_idle_and_after_eight_hours_however_busy(
        self,
        centre: Centre,
        signed_in: Callable,
        seen_ago: timedelta,
        began_ago: timedelta,
        goes_on: bool,
    ):
        dialog = sound_of(centre.call())
        alice: Visitor = signed_in(centre.alice)
        now = clock.now()
        set_in_session(
            alice,
            **{
                LAST_SEEN: (now - seen_ago).timestamp(),
                BEGAN: (now - began_ago).timestamp(),
            },
        )

        heard = alice.listen(dialog.pk)

        assert heard.status == (206 if goes_on else 401)
        assert is_signed_in(alice) == goes_on

    def test_that_is_used_goes_on(self, centre: Centre, signed_in: Callable):
        alice: Visitor = signed_in(centre.alice)
        began = (clock.now() - timedelta(hours=7)).timestamp()
        set_in_session(
            alice, **{LAST_SEEN: (clock.now() - timedelta(minutes=20)).timestamp(), BEGAN: began}
        )

        assert is_signed_in(alice)

        with alice.stage.acting_as("web"):
            session = dict(alice.client.session)
        assert clock.now().timestamp() - session[LAST_SEEN] < 60
        assert session[BEGAN] == began

    def test_that_was_stolen_is_over_once_it_is_revoked(self, centre: Centre, signed_in: Callable):
        dialog = sound_of(centre.call())
        alice: Visitor = signed_in(centre.alice)
        thief = Visitor(centre.stage)
        thief.client.cookies = SimpleCookie(
            {name: one.value for name, one in alice.client.cookies.items()}
        )
        assert thief.listen(dialog.pk).status == 206

        alice.post("/account/logout/")

        assert thief.listen(dialog.pk).status == 401
        assert thief.get("/conversations/").status == 302

    def test_gets_a_new_name_when_she_signs_in(self, centre: Centre, visitor: Visitor):
        visitor.client.cookies["tallenne_session"] = "planted-by-somebody-else-00000000"

        sign_in(visitor, centre.alice.email)

        assert (
            visitor.client.cookies["tallenne_session"].value != "planted-by-somebody-else-00000000"
        )

    def test_cookie_is_for_this_site_and_no_script(self, centre: Centre, visitor: Visitor):
        sign_in(visitor, centre.alice.email)

        cookie = visitor.client.cookies["tallenne_session"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert cookie["max-age"] == ""


class TestAdministratorsSite:
    """One door, and nothing behind it that changes anything."""

    def test_has_no_sign_in_of_its_own(self, centre: Centre, visitor: Visitor):
        answers = [
            visitor.get("/admin/login/"),
            visitor.post("/admin/login/", {"username": centre.sulo.email, "password": "x"}),
            visitor.get("/admin/"),
        ]

        for answer in answers:
            assert answer.status == 302
            assert answer.headers["Location"].startswith(("/account/login/", "/admin/login/"))
        assert not Event.objects.filter(event_type="session.signed_in").exists()

    def test_refuses_who_is_no_administrator_and_does_not_break(
        self, centre: Centre, signed_in: Callable
    ):
        for somebody in (centre.alice, centre.olga, centre.casper):
            visitor: Visitor = signed_in(somebody)
            for path in ("/admin/", "/admin/accounts/user/", "/admin/login/"):
                answer = visitor.get(path)

                assert answer.status in (302, 403, 404), path
                assert "Dora Dahl" not in answer.text

    def test_shows_and_changes_nothing(self, centre: Centre, signed_in: Callable):
        sulo: Visitor = signed_in(centre.sulo)
        path = f"/admin/accounts/user/{centre.alice.pk}/"

        shown = [sulo.get("/admin/"), sulo.get("/admin/accounts/user/"), sulo.get(f"{path}change/")]
        tried = [
            sulo.post(f"{path}change/", {"full_name": "Mallory"}),
            sulo.post(f"{path}delete/", {"post": "yes"}),
            sulo.post("/admin/accounts/user/add/", {"email": "mallory@example.com"}),
            sulo.post(
                "/admin/accounts/roleassignment/add/",
                {"user": str(centre.sulo.pk), "role": "coach"},
            ),
            sulo.post(
                "/admin/accounts/user/",
                {"action": "delete_selected", "_selected_action": str(centre.alice.pk)},
            ),
        ]

        assert [answer.status for answer in shown] == [200, 200, 200]
        assert not any(PASSWORD in answer.text or "argon2" in answer.text for answer in shown)
        assert [answer.status for answer in tried[:4]] == [403] * 4
        centre.alice.refresh_from_db()
        assert centre.alice.full_name == "Alice Aalto"
        assert not type(centre.alice).objects.filter(email="mallory@example.com").exists()
        assert not centre.sulo.role_assignments.exists()


class TestEveryAnswer:
    def test_is_kept_out_of_caches_and_frames_and_runs_no_strange_script(
        self, centre: Centre, visitor: Visitor, signed_in: Callable
    ):
        alice, olga, sulo = (signed_in(user) for user in (centre.alice, centre.olga, centre.sulo))
        dialog = sound_of(centre.call())
        answers = {
            "sign-in": visitor.get(SIGN_IN),
            "not signed in": visitor.get("/conversations/"),
            "nowhere": visitor.get("/nowhere/"),
            "healthz": visitor.get("/healthz"),
            "list": alice.get("/conversations/"),
            "call": alice.get(f"/conversations/{dialog.conversation_id}/"),
            "sound": alice.listen(dialog.pk),
            "no sound": alice.listen(centre.alice.pk),
            "waveform": alice.get(reverse("recordings:waveform", args=[dialog.pk])),
            "undertaking": alice.get("/me/undertaking/"),
            "refused": alice.get("/audit/"),
            "wrong method": alice.post("/conversations/"),
            "rules": olga.get(reverse("retention:rules")),
            "log": olga.get("/audit/"),
            "administration": sulo.get("/admin/"),
        }
        with log_refused(centre.stage):
            answers["stopped"] = alice.get("/conversations/")
        assert answers["stopped"].status == 503

        for name, answer in answers.items():
            headers = answer.headers
            policy = headers["Content-Security-Policy"]
            for directive in (
                "default-src 'none'",
                "script-src 'self'",
                "media-src 'self'",
                "form-action 'self'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
            ):
                assert directive in policy, name
            assert "unsafe" not in policy, name
            assert headers["X-Frame-Options"] == "DENY", name
            assert headers["X-Content-Type-Options"] == "nosniff", name
            assert headers["Referrer-Policy"] == "same-origin", name
            assert "microphone=()" in headers["Permissions-Policy"], name
            assert headers["X-Request-ID"], name
            assert "no-store" in headers["Cache-Control"], name

    def test_has_no_script_or_style_in_its_page(self, centre: Centre, signed_in: Callable):
        alice: Visitor = signed_in(centre.alice)
        call = centre.call()

        for path in ("/conversations/", f"/conversations/{call.pk}/", "/me/access/"):
            text = alice.get(path).text

            assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", text), path
            assert not re.search(r"\son[a-z]+=", text), path
            assert not re.search(r"\sstyle=", text), path

    def test_to_a_form_from_elsewhere_is_no(self, centre: Centre, signed_in: Callable):
        from django.test import Client

        alice: Visitor = signed_in(centre.alice)
        forged = Client(enforce_csrf_checks=True)
        forged.cookies = alice.client.cookies
        alice.client = forged

        answer = alice.post("/me/preferences/", {"keys": "off"})

        assert answer.status == 403
        centre.alice.refresh_from_db()
        assert centre.alice.uses_letter_keys

    def test_names_no_host_but_ours(self, centre: Centre, visitor: Visitor):
        with override_settings(DEBUG=False):
            answer = visitor.get(SIGN_IN, HTTP_HOST="evil.example")

        assert answer.status == 400
