"""A certificate is read on a page, taken along as a file, and each of both is an event."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command
from django.urls import reverse

from audit import verify
from audit.models import Event
from audit.operations import AuditUnavailable
from retention.models import Certificate, PurgeRun
from retention.views import certificates as views
from tests.factories import Centre
from tests.harness.commands import manage
from tests.retention.centre import counted
from tests.retention.certified import certify, destroy, file_of, issue_due, keys_of, seal_logs


@pytest.fixture
def done(centre: Centre) -> Certificate:
    """The certificate of a run that destroyed a call and a chat."""
    destroy(centre, centre.call(), centre.chat())
    (made,) = certify(centre.stage)
    return made


def run_page() -> str:
    return reverse("retention:purge_run", args=[PurgeRun.objects.get().pk])


class TestRunPage:
    def test_says_awaiting_seal_until_the_certificate_is_there(self, centre, olga):
        destroy(centre, centre.chat())
        seen = [olga.get(run_page()).text]
        for deed in (seal_logs, issue_due, seal_logs, issue_due):
            deed(centre.stage)
            seen.append(olga.get(run_page()).text)

        path = reverse("retention:certificate_file", args=[Certificate.objects.get().pk])
        assert [text.count("Awaiting seal") for text in seen] == [1, 1, 1, 1, 0]
        assert [path in text for text in seen] == [False, False, False, False, True]


class TestCertificatePage:
    def test_shows_each_conversation_and_is_an_event(self, done, olga):
        page = olga.get(reverse("retention:certificate", args=[done.pk]))

        assert page.status == 200
        for row in done.lines.all():
            assert str(row.conversation_id) in page.text
            assert all(sha256 in page.text for _, _, sha256 in row.objects_destroyed)
        assert done.digest in page.text
        (event,) = Event.objects.filter(event_type="certificate.downloaded")
        assert json.loads(event.body)["x"]["format"] == "html"
        assert event.log == str(done.controller_id)

    def test_goes_on_to_the_next_page(self, done, olga, monkeypatch):
        monkeypatch.setattr(views, "PAGE_LINES", 1)
        path = reverse("retention:certificate", args=[done.pk])
        first, second = done.lines.order_by("leaf_index")

        page = olga.get(path)
        last = olga.get(f"{path}?after={first.leaf_index}")

        assert f"?after={first.leaf_index}" in page.text
        assert str(second.conversation_id) not in page.text
        assert str(second.conversation_id) in last.text
        assert 'rel="next"' not in last.text
        assert olga.get(f"{path}?after=x").status == 200

    def test_the_file_is_sent_whole_and_the_verifier_takes_it(self, done, olga):
        path = reverse("retention:certificate_file", args=[done.pk])

        answer = olga.fetch(path)

        assert answer.body == file_of(done) == olga.get(path).body
        verify.check_certificate(answer.body, keys_of(done))
        assert answer.headers["Content-Disposition"].startswith(
            'attachment; filename="certificate-'
        )
        assert counted("certificate.downloaded") == 2

    def test_another_companys_is_404_and_awaiting_its_seal_too(self, centre, done, olga, olli):
        destroy(centre, centre.chat())
        seal_logs(centre.stage)
        issue_due(centre.stage)
        unsealed = Certificate.objects.get(seal=None)

        for name in ("certificate", "certificate_file"):
            assert olli.get(reverse(f"retention:{name}", args=[done.pk])).status == 404
            assert olga.get(reverse(f"retention:{name}", args=[unsealed.pk])).status == 404
        assert counted("page.refused") == 2
        assert counted("certificate.downloaded") == 0

    def test_without_the_log_nothing_is_given_out(self, done, olga, monkeypatch):
        def fail(**_: object) -> None:
            raise AuditUnavailable

        monkeypatch.setattr(views, "log_download", fail)

        for name in ("certificate", "certificate_file"):
            answer = olga.get(reverse(f"retention:{name}", args=[done.pk]))
            assert answer.status == 503
            assert done.digest not in answer.text


class TestCommand:
    def test_writes_the_file_as_an_event(self, centre, done, tmp_path):
        path = tmp_path / "certificate.json"

        ran = manage(
            centre.stage, "certificate", str(done.run_id), "--output", str(path), role="work"
        )

        assert (ran.code, path.read_bytes()) == (0, file_of(done))
        assert counted("certificate.downloaded") == 1

    def test_explain_says_on_which_certificate_a_conversation_is(self, centre, done):
        out = StringIO()

        with centre.stage.acting_as("work"):
            call_command("explain", str(done.lines.first().conversation_id), stdout=out)

        assert f"(on certificate {done.pk})" in out.getvalue()
