"""Settings: production is strict by default, and a process that was told less can do less."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from tests.harness.session import ROOT

PRINT = """
import json, sys
from importlib import import_module
settings = import_module("config.settings")
json.dump({name: repr(getattr(settings, name)) for name in dir(settings)
           if name.isupper() and name != "LANGUAGES"}, sys.stdout)
"""
TOLD = {
    "SECRET_KEY": "x" * 60,
    "DATABASE_URL": "postgresql://web:secret@127.0.0.1:9/tallenne",
    "BASE_URL": "https://tallenne.example",
    "ALLOWED_HOSTS": "tallenne.example",
}


def read(**changed: str | None) -> subprocess.CompletedProcess[str]:
    """Read the settings in a process that was told only this."""
    told = {name: value for name, value in {**TOLD, **changed}.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", PRINT],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **told},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def production() -> dict[str, Any]:
    """The settings of a process that nobody told to be a demo."""
    done = read()
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class TestProduction:
    def test_cookies_stay_on_their_host_and_on_https(self, production: dict[str, str]):
        assert production["SESSION_COOKIE_NAME"] == "'__Host-session'"
        assert production["CSRF_COOKIE_NAME"] == "'__Host-csrf'"
        for name in (
            *("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "LANGUAGE_COOKIE_SECURE"),
            *("SESSION_COOKIE_HTTPONLY", "CSRF_COOKIE_HTTPONLY", "SECURE_SSL_REDIRECT"),
            *("SESSION_EXPIRE_AT_BROWSER_CLOSE", "SECURE_HSTS_INCLUDE_SUBDOMAINS"),
        ):
            assert production[name] == "True", name
        assert int(production["SECURE_HSTS_SECONDS"]) >= 31_536_000
        # What a __Host- cookie may not have.
        for name in ("SESSION_COOKIE_DOMAIN", "CSRF_COOKIE_DOMAIN", "SESSION_COOKIE_PATH"):
            assert production.get(name, "None") in ("None", "'/'")

    def test_sessions_end_as_promised(self, production: dict[str, str]):
        assert production["SESSION_COOKIE_AGE"] == str(8 * 3600)
        assert production["SESSION_IDLE_SECONDS"] == str(30 * 60)

    def test_is_no_debugging_demo_and_trusts_no_proxy_unless_told(self, production: dict[str, str]):
        assert production["DEBUG"] == production["DEMO"] == "False"
        assert production["SECURE_PROXY_SSL_HEADER"] == "None"
        assert production["ALLOWED_HOSTS"] == "['tallenne.example']"
        assert production["PASSWORD_HASHERS"] == (
            "['django.contrib.auth.hashers.Argon2PasswordHasher']"
        )

    def test_each_process_holds_only_what_it_was_told(self, production: dict[str, str]):
        for name, value in production.items():
            if name.endswith(("_ACCESS_KEY", "_SECRET_KEY")) or name == "KEYRING_DIR":
                assert value == "None", name

    def test_a_refusal_that_is_logged_must_outlive_the_request(self, production: dict[str, str]):
        assert "'ATOMIC_REQUESTS': False" in production["DATABASES"]
        assert "accounts.backends.RoleBackend" in production["AUTHENTICATION_BACKENDS"]
        assert "guardian.backends" not in production["AUTHENTICATION_BACKENDS"]


class TestWrongUse:
    @pytest.mark.parametrize("missing", ["SECRET_KEY", "DATABASE_URL"])
    def test_without_what_it_needs_it_does_not_start(self, missing: str):
        done = read(**{missing: None})

        assert done.returncode != 0
        assert missing in done.stderr

    def test_a_demo_is_for_this_machine_only(self):
        assert read(DEMO="true").returncode != 0
        here = {"DEMO": "true", "BASE_URL": "http://localhost:8000", "RULE_COOLING_DAYS": "0"}
        assert read(**here).returncode == 0

    def test_a_shorter_rule_waits_a_week_in_production(self):
        done = read(RULE_COOLING_DAYS="6")

        assert done.returncode != 0
        assert "RULE_COOLING_DAYS" in done.stderr


class TestOrder:
    def test_of_what_every_request_passes(self):
        order = settings.MIDDLEWARE
        # Sign-in comes before what asks for it, the clock before who needs the time, and the
        # policy of the page around everything that makes one.
        for before, after in (
            ("csp.middleware.CSPMiddleware", "accounts.middleware.LoginRequiredMiddleware"),
            (
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "accounts.middleware.ArrivalMiddleware",
            ),
            (
                "accounts.middleware.ArrivalMiddleware",
                "accounts.middleware.LoginRequiredMiddleware",
            ),
            (
                "django.middleware.csrf.CsrfViewMiddleware",
                "accounts.middleware.LoginRequiredMiddleware",
            ),
        ):
            assert order.index(before) < order.index(after)


class TestLogs:
    def test_are_one_json_object_a_line(self, capsys: pytest.CaptureFixture[str]):
        import structlog

        handler = next(
            one
            for one in logging.getLogger().handlers
            if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)
        )
        record = logging.LogRecord("recordings", logging.WARNING, "", 0, "said %s", ("this",), None)

        line = handler.format(record)

        said = json.loads(line)
        assert "\n" not in line
        assert (said["event"], said["level"], said["logger"]) == (
            "said this",
            "warning",
            "recordings",
        )
        assert said["timestamp"].endswith("Z")

    def test_name_no_conversation_of_botocore_or_the_broker(self):
        for noisy in ("botocore", "urllib3", "kombu"):
            assert logging.getLogger(noisy).getEffectiveLevel() >= logging.WARNING
