"""The whole story: a coach finds, hears and reads; an outsider is refused; compliance sees it."""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import Undertaking
from audit import clock, proofs, verify
from audit.models import Event
from recordings.models import Conversation
from tests.factories import PASSWORD, Centre, sound_of, tones, wav
from tests.harness.site import Site
from tests.laws.ways import SPOKEN
from tests.story.window import Window

pytestmark = pytest.mark.browser

CALL_SECONDS = 90
SEEK_TO_SECONDS = 70
HEADER_BYTES = 44  # of a WAV file
# So long that no browser has fetched the end of it while it plays the beginning.
LONG_CALL_SECONDS = 600


@pytest.fixture
def call(centre: Centre) -> Conversation:
    """A call of a minute and a half: more than one range of bytes."""
    return centre.call(body=tones_for(CALL_SECONDS), seconds=CALL_SECONDS)


def tones_for(seconds: int) -> bytes:
    one_second = array("h", tones(1.0)[HEADER_BYTES:])
    return wav(one_second * seconds)


@pytest.fixture
def chat(centre: Centre) -> Conversation:
    return centre.chat(SPOKEN, "Antaa sen nukkua.", ended_at=clock.now() - timedelta(hours=2))


def sign_in(window: Window, email: str) -> None:
    window.page.fill("input[name=login]", email)
    window.page.fill("input[name=password]", PASSWORD)
    window.page.click("main button[type=submit]")


def played_seconds(window: Window) -> float:
    return float(window.page.evaluate("document.querySelector('audio').currentTime"))


def wait_until_played(window: Window, *, beyond_seconds: float) -> None:
    window.wait_for(f"document.querySelector('audio').currentTime > {beyond_seconds}")


def events(event_type: str, user) -> int:
    return Event.objects.filter(
        event_type=event_type, actor=str(user.reference), outcome="allow"
    ).count()


def test_from_sign_in_to_the_exported_log(
    centre: Centre, site: Site, window: Callable[..., Window], sealer, call, chat
):
    Undertaking.objects.filter(user=centre.alice).delete()
    alice = window()

    # She signs in where she is sent, and accepts the undertaking before anything else.
    assert alice.go(reverse("recordings:conversations")) == 200
    assert "/account/login/" in alice.page.url
    sign_in(alice, centre.alice.email)
    alice.page.wait_for_url("**/me/undertaking/**")
    alice.page.check("#id_accepted")
    alice.page.click("main form button.primary")
    alice.page.wait_for_url("**/conversations/**")
    assert Undertaking.objects.filter(user=centre.alice).count() == 1

    # She finds the call, among what is hers only.
    alice.page.select_option("select[name=kind]", "call")
    alice.page.click("form[role=search] button.primary")
    links = alice.page.locator("a[data-row-link]")
    assert links.count() == 1
    links.first.click()
    alice.page.wait_for_url(f"**/conversations/{call.pk}/**")

    _listen_with_a_seek(alice, centre)
    _read_the_chat(alice, centre, chat)
    _be_refused_elsewhere(window, centre, call)
    _see_it_in_the_log_and_take_it_along(window, centre)


def _listen_with_a_seek(alice: Window, centre: Centre) -> None:
    alice.responses.clear()
    alice.page.click("[data-part=play]")
    wait_until_played(alice, beyond_seconds=0.5)
    alice.page.locator("[data-part=seek]").fill(str(SEEK_TO_SECONDS))
    wait_until_played(alice, beyond_seconds=SEEK_TO_SECONDS + 0.5)
    alice.page.click("[data-part=play]")

    ranges = [one for one in alice.responses if "/sound/" in one.url]
    assert {one.status for one in ranges} == {206}
    assert all(one.headers["cache-control"] == "no-store" for one in ranges)
    asked = [int(re.findall(r"\d+", one.headers["content-range"])[0]) for one in ranges]
    assert max(asked) > 0, "the seek asked for a range of its own"
    assert events("dialog.played", centre.alice) == len(ranges)
    # A canvas in each lane: the waveform was drawn.
    assert alice.page.evaluate("document.querySelector('[data-part=wave]').childElementCount") > 0


def _read_the_chat(alice: Window, centre: Centre, chat: Conversation) -> None:
    alice.page.goto(f"{reverse('recordings:conversations')}?kind=chat")
    alice.page.locator("a[data-row-link]").first.click()
    alice.page.wait_for_url(f"**/conversations/{chat.pk}/**")
    assert SPOKEN in alice.page.inner_text("ol.chat")
    assert events("chat.read", centre.alice) == 1


def _be_refused_elsewhere(
    window: Callable[..., Window], centre: Centre, call: Conversation
) -> None:
    charlie = window(centre.charlie)
    page = reverse("recordings:conversation", args=[call.pk])
    missing = reverse("recordings:conversation", args=[centre.vakka.pk])
    assert charlie.go(page) == 404
    refused = charlie.page.inner_text("main")
    assert charlie.go(missing) == 404
    assert charlie.page.inner_text("main") == refused
    assert charlie.go(reverse("recordings:conversations")) == 200
    assert charlie.page.locator("a[data-row-link]").count() == 0
    sound = reverse("recordings:sound", args=[sound_of(call).pk])
    assert charlie.context.request.get(f"{sound}?play={centre.vakka.pk}").status == 404


def _see_it_in_the_log_and_take_it_along(window: Callable[..., Window], centre: Centre) -> None:
    olga = window(centre.olga)
    assert olga.go(f"{reverse('audit:log')}?log={centre.vakka.pk}") == 200
    listed = olga.page.inner_text("main table")
    assert centre.alice.full_name in listed
    assert centre.charlie.full_name in listed
    with olga.page.expect_download() as download:
        olga.page.select_option("#export_format", "csv")
        olga.page.click("form[action$='/audit/export/'] button")
    bundle = verify.check_bundle(
        str(download.value.path()), proofs.public_keys(log=str(centre.vakka.pk))
    )
    assert bundle.manifest["is_all"]
    written = verify.Files(str(download.value.path())).text("copy/000001.csv")
    for said in ("dialog.played", "chat.read", "conversation.refused"):
        assert said in written, said
    assert centre.alice.full_name not in written
    assert events("audit.exported", centre.olga) == 1


def test_an_open_player_stops_when_the_time_ends(centre: Centre, window: Callable[..., Window]):
    call = centre.call(body=tones_for(LONG_CALL_SECONDS), seconds=LONG_CALL_SECONDS)
    alice = window(centre.alice)
    alice.go(reverse("recordings:conversation", args=[call.pk]))
    alice.page.click("[data-part=play]")
    wait_until_played(alice, beyond_seconds=0.2)

    centre.end(call, at=clock.now())
    alice.responses.clear()
    alice.page.locator("[data-part=seek]").fill(str(LONG_CALL_SECONDS - 10))

    alice.wait_for("document.querySelector('[data-part=status]').textContent.length > 0")
    assert "ended" in alice.page.inner_text("[data-part=status]")
    # The range that was under way came; the next one did not.
    assert [one.status for one in alice.responses if "/sound/" in one.url][-1] == 404
    assert alice.go(reverse("recordings:conversation", args=[call.pk])) == 404


def test_by_keyboard_alone(centre: Centre, window: Callable[..., Window], call, chat):
    alice = window(centre.alice)
    alice.go(reverse("recordings:conversations"))

    # The first Tab offers to skip the menu; J chooses the first row, Enter opens it.
    alice.page.keyboard.press("Tab")
    assert "Skip" in alice.focused()
    alice.page.keyboard.press("j")
    alice.page.keyboard.press("Enter")
    alice.page.wait_for_url(f"**/conversations/{call.pk}/**")
    alice.page.keyboard.press("k")
    wait_until_played(alice, beyond_seconds=0.3)
    alice.page.keyboard.press("k")
    alice.wait_for("document.querySelector('audio').paused")
    before = played_seconds(alice)
    alice.page.keyboard.press("l")
    assert played_seconds(alice) == pytest.approx(before + 10, abs=1.0)
    alice.page.keyboard.press("j")
    assert played_seconds(alice) == pytest.approx(before, abs=1.5)
    alice.page.keyboard.press("?")
    assert alice.page.locator("dialog[open]").count() == 1
    alice.page.keyboard.press("Escape")
    assert alice.page.locator("dialog[open]").count() == 0
    alice.tab_to("Speed")


def test_letters_typed_into_a_field_are_letters(
    centre: Centre, window: Callable[..., Window], call
):
    olga = window(centre.olga)
    olga.go(reverse("retention:matter_new"))
    field = olga.page.locator("main input[type=text]").first
    field.focus()

    olga.page.keyboard.type("jkls?")

    assert field.input_value() == "jkls?"


def test_speaks_the_readers_language(centre: Centre, window: Callable[..., Window], call):
    for language, heading, not_found in (
        ("fi", "Tallenteet", "Täällä ei ole sinulle mitään"),
        ("sv", "Inspelningar", "Här finns inget för dig"),
        ("en", "Conversations", "There is nothing here for you"),
    ):
        alice = window(centre.alice, language=language)

        alice.go(reverse("recordings:conversations"))

        assert alice.page.locator("html").get_attribute("lang") == language
        assert heading in alice.page.inner_text("h1")
        # Day first and 24 hours in all three.
        shown = alice.page.inner_text("a[data-row-link] time")
        assert re.match(r"\d{1,2}[. ](\d{1,2}|[A-Z][a-z]{2})[. ]\d{4} \d{1,2}[.:]\d{2}$", shown)
        assert alice.go("/conversations/nowhere/") == 404
        assert not_found in alice.page.inner_text("main")


def test_changes_language_where_she_is(centre: Centre, window: Callable[..., Window]):
    alice = window(centre.alice)
    alice.go(reverse("accounts:my_access"))

    alice.page.click("form.languages button[value=sv]")

    alice.page.wait_for_load_state()
    assert alice.page.locator("html").get_attribute("lang") == "sv"
    assert reverse("accounts:my_access") in alice.page.url


def test_signing_out_ends_it_everywhere_and_leaves_nothing_in_the_browser(
    centre: Centre, window: Callable[..., Window], chat
):
    alice = window(centre.alice)
    alice.go(reverse("recordings:conversation", args=[chat.pk]))
    assert SPOKEN in alice.page.inner_text("main")

    alice.page.click("header form[action$='logout/'] button")

    alice.page.wait_for_url("**/account/login/**")
    alice.go(reverse("recordings:conversation", args=[chat.pk]))
    assert "/account/login/" in alice.page.url
    alice.page.go_back()
    time.sleep(0.2)
    assert SPOKEN not in alice.page.content()
    assert alice.page.evaluate("localStorage.length + sessionStorage.length") == 0
