"""Anchored heads are stamped with the time once a day; what is no such stamp is refused."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from audit import anchoring, clock, posting, time_stamps
from audit.events import EventType
from audit.models import Checkpoint, TimeStamp
from audit.operations.anchoring import anchor
from audit.operations.sealing import Sealer, introduce_key
from audit.operations.stamping import Stamping
from audit.sealing_keys import SealingKeys
from audit.time_stamps import Authority, NotStamped, OtherContent, Trust
from audit.verification.checking import verify_log
from audit.verification.verdicts import State
from audit.verify import read_anchors
from tests.audit.given import events, happened, run, signed_in
from tests.harness.authority import TestAuthority, running

LOG = "installation"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with running(tmp_path_factory.mktemp("tsa") / "here") as made:
        yield made


@pytest.fixture
def authority(shared):
    yield shared
    shared.instead, shared.garbage, shared.status = None, None, 200
    shared.hangs.clear()
    shared.asked = 0


@pytest.fixture
def keys(stage, tmp_path):
    with stage.acting_as("seal"):
        made = SealingKeys(tmp_path / "seal-keys")
        introduce_key(keys=made, now=clock.now())
        seal_and_anchor(made)
        yield made


def seal_and_anchor(keys):
    happened(signed_in())
    Sealer(keys).seal(log=LOG, now=clock.now())
    anchor(log=LOG, store=anchoring.writer(), now=clock.now())


def asked(authority):
    return Authority(authority.url, Trust.read(authority.certificate))


def have_stamped(authority, *, now=None):
    work = Stamping(asked(authority), anchoring.writer())
    work.begin(log=LOG, now=now or clock.now())
    work.finish(now=clock.now())
    work.close()


def checked(stage, authority):
    with stage.acting_as("work"), override_settings(AUDIT_TSA_CERTIFICATE=authority.certificate):
        return verify_log(log=LOG, now=clock.now(), reader=anchoring.reader())


@pytest.mark.django_db
class TestTimeStamp:
    def test_lies_locked_beside_the_anchor_for_anybodys_program(self, keys, authority, tmp_path):
        have_stamped(authority)

        kept = TimeStamp.objects.get()
        assert abs((kept.stamped_at - clock.now()).total_seconds()) < 5
        reader = anchoring.reader()
        ((key, version),) = reader.oldest_versions(kept.anchor_key)
        ((_place, note),) = anchoring.anchored(reader, log=LOG)
        (tmp_path / "head.tsr").write_bytes(reader.read(key, version))
        (tmp_path / "head").write_text(note)
        said = subprocess.run(
            f"openssl ts -verify -data head -in head.tsr -CAfile {authority.certificate}".split(),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Verification: OK" in said.stdout + said.stderr
        assert key.endswith(".tsr")

    def test_is_not_read_as_a_head_by_the_offline_program(self, tmp_path):
        (tmp_path / "00000000000000000002").write_text("a head")
        (tmp_path / "00000000000000000002.tsr").write_bytes(b"\x30\x82\xff")

        assert read_anchors(tmp_path) == ["a head"]

    def test_asked_for_by_two_sealers_is_kept_once(self, keys, authority):
        works = [Stamping(asked(authority), anchoring.writer()) for _ in range(2)]
        for work in works:
            work.begin(log=LOG, now=clock.now())
        for work in works:
            work.finish(now=clock.now())
            work.close()

        assert TimeStamp.objects.count() == 1

    def test_is_asked_for_once_a_day(self, keys, authority):
        have_stamped(authority)
        seal_and_anchor(keys)
        have_stamped(authority)
        have_stamped(authority, now=clock.now() + timedelta(hours=23))
        assert authority.asked == 1

        have_stamped(authority, now=clock.now() + timedelta(hours=25))
        have_stamped(authority, now=clock.now() + timedelta(hours=49))

        assert list(TimeStamp.objects.order_by("size").values_list("size", flat=True)) == [2, 3]
        assert authority.asked == 2  # of a head that has one no second is asked for

    def test_is_nobodys_affair_unless_set(self, keys):
        work = Stamping(None, anchoring.writer())

        work.begin(log=LOG, now=clock.now())
        work.finish(now=clock.now())

        assert not TimeStamp.objects.exists()


class TestRefused:
    @pytest.mark.parametrize(
        ("query", "why"),
        [
            (["-digest", "{digest}"], "Nonce mismatch"),
            (["-digest", "{digest}", "-no_nonce"], "Nonce mismatch"),
            (["-digest", "00" * 32], "something else"),
        ],
    )
    def test_an_answer_to_another_question(self, authority, query, why):
        authority.instead = query

        with pytest.raises(NotStamped, match=why):
            asked(authority).ask("note")

    def test_an_authority_that_nobody_trusts(self, authority, tmp_path):
        other = TestAuthority(tmp_path / "other")

        with pytest.raises(NotStamped, match="not right"):
            Authority(authority.url, Trust.read(other.certificate)).ask("note")

    @pytest.mark.parametrize("garbage", [b"", b"no answer", b"0\x03\x02\x01\x02"])
    def test_what_is_no_time_stamp(self, authority, garbage):
        authority.garbage = garbage

        with pytest.raises(NotStamped):
            asked(authority).ask("note")

    def test_an_error(self, authority):
        authority.status = 503

        with pytest.raises(NotStamped, match="503"):
            asked(authority).ask("note")

    def test_no_changed_byte_makes_it_say_another_time(self, authority):
        said = asked(authority).ask("note")
        trust = Trust.read(authority.certificate)
        forged = []

        for at in range(0, len(said.response), 7):
            changed = bytearray(said.response)
            changed[at] ^= 1
            try:
                if trust.check(response=bytes(changed), note="note") != said.at:
                    forged.append(at)
            except NotStamped:
                continue

        assert forged == []

    def test_one_of_another_note(self, authority):
        said = asked(authority).ask("note")

        with pytest.raises(OtherContent):
            Trust.read(authority.certificate).check(response=said.response, note="Note")


@pytest.mark.django_db
class TestMissing:
    def test_stops_nothing_and_is_an_incident_after_an_hour(self, keys, authority, monkeypatch):
        monkeypatch.setattr(posting, "ANSWER_SECONDS", 0.2)
        authority.hangs.set()
        now = clock.now()
        work = Stamping(asked(authority), anchoring.writer())

        for minutes in (0, 59, 61, 62):
            work.begin(log=LOG, now=now)
            work.collect(now=now)
            work.finish(now=now + timedelta(minutes=minutes))
            assert events(EventType.INCIDENT_RAISED).count() == (1 if minutes > 60 else 0)
        work.close()

        assert '"kind":"time_stamp_missing"' in events(EventType.INCIDENT_RAISED).get().body


@pytest.mark.django_db
class TestChecking:
    def test_says_the_time(self, keys, authority, stage):
        have_stamped(authority)

        verdict = checked(stage, authority)

        assert verdict.state is State.INTACT, verdict.faults
        (said,) = map(str, verdict.attested.values())
        assert said.startswith("time-stamped: 1 heads, the newest of 2 events at 2")

    @pytest.mark.parametrize(
        ("change", "state"),
        [
            ("stamped_at = stamped_at - interval '1 year'", State.TAMPERED),
            ("response = set_byte(response, length(response) - 9, 7)", State.INCOMPLETE),
            ("response = '\\x3003020102'", State.INCOMPLETE),
        ],
    )
    def test_finds_one_that_was_altered(self, keys, authority, stage, change, state):
        have_stamped(authority)
        with stage.acting_as("owner"):
            run("ALTER TABLE audit_time_stamp DISABLE TRIGGER USER")
            run(f"UPDATE audit_time_stamp SET {change}")
            run("ALTER TABLE audit_time_stamp ENABLE TRIGGER USER")

        assert checked(stage, authority).state is state

    def test_finds_one_of_another_head(self, keys, authority, stage):
        have_stamped(authority)
        seal_and_anchor(keys)
        with stage.acting_as("owner"):
            run("ALTER TABLE audit_time_stamp DISABLE TRIGGER USER")
            run("UPDATE audit_time_stamp SET size = 3")
            run("ALTER TABLE audit_time_stamp ENABLE TRIGGER USER")

        verdict = checked(stage, authority)

        assert Checkpoint.objects.filter(log=LOG, size=3).exists()
        assert "the head of 3 events is not the one that was time-stamped" in str(verdict.faults)

    def test_without_certificates_says_that_it_did_not_look(self, keys, authority, stage):
        have_stamped(authority)

        with stage.acting_as("work"):
            verdict = verify_log(log=LOG, now=clock.now(), reader=anchoring.reader())

        assert verdict.state is State.INTACT
        assert "not checked: AUDIT_TSA_CERTIFICATE" in verdict.notes[0]


class TestSetting:
    def test_is_off_unless_given(self):
        assert time_stamps.configured() is None

    @pytest.mark.parametrize(
        ("url", "certificate"), [("https://tsa.example", None), ("tsa.example", "ca.pem")]
    )
    def test_needs_both(self, tmp_path, authority, url, certificate):
        path = authority.certificate if certificate else None
        with override_settings(AUDIT_TSA_URL=url, AUDIT_TSA_CERTIFICATE=path):
            with pytest.raises(ImproperlyConfigured):
                time_stamps.configured()

    def test_that_names_no_certificates_is_refused(self, tmp_path):
        (tmp_path / "ca.pem").write_text("nothing")

        with pytest.raises(ImproperlyConfigured):
            Trust.read(tmp_path / "ca.pem")
