"""What is answered when something fails before a page is reached."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings
from django.urls import reverse

from tests.factories import Centre


@pytest.mark.parametrize("address", ["home", "recordings:conversations", "livez", "healthz"])
def test_without_the_database_it_is_said_and_nothing_else(
    centre: Centre, signed_in, monkeypatch: pytest.MonkeyPatch, address: str
):
    visitor = signed_in(centre.alice)
    visitor.client.raise_request_exception = False
    with visitor.stage.acting_as("web"):
        monkeypatch.setitem(connections.settings["default"], "PORT", 9)

        answer = visitor.client.get(reverse(address))

    assert answer.status_code == 503
    assert "card empty" in answer.content.decode()
    assert "Vakka" not in answer.content.decode()


def test_without_the_broker_nobody_signs_in_and_who_has_goes_on(centre: Centre, signed_in, visitor):
    away = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
    alice = signed_in(centre.alice)
    with override_settings(CACHES=away):
        attempt = {"login": "alice@example.com", "password": "whatever she says"}
        answer = visitor.post(reverse("account_login"), attempt)

        assert answer.status == 503
        assert alice.get(reverse("recordings:conversations")).status == 200


def test_a_mistake_of_ours_is_none_of_the_database(centre: Centre, signed_in, monkeypatch):
    visitor = signed_in(centre.alice)
    visitor.client.raise_request_exception = False
    monkeypatch.setattr("config.views.menu", lambda _request: {"menu": []})

    assert visitor.get(reverse("home")).status == 500
