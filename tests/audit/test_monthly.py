"""Whole months are delivered once each, by themselves, whatever breaks on the way."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from audit import clock, proofs, sftp, verify
from audit.bundles.copies import Format
from audit.deliveries import LONGEST_TRANSACTION, bounds, standing
from audit.events import Actor, EventType, log_name
from audit.models import Delivery
from audit.operations import append_many
from audit.operations.delivering import Delivered, NotDelivered, deliver_months
from audit.operations.exporting import to_folder
from audit.queries import Filter
from audit.receiving import NotReceived, receiver
from config.servers.identities import EXPORT_BUCKET
from tests.audit import given
from tests.audit.given import events, new, played
from tests.harness.commands import environment, manage
from tests.harness.session import ROOT
from tests.harness.sftp import serving

pytestmark = pytest.mark.django_db

ACTOR = Actor.system("test")
LOG = "installation"


@pytest.fixture
def months() -> list[date]:
    """The three months that were over most recently, oldest first."""
    month = (clock.now() - LONGEST_TRANSACTION).astimezone(timezone.get_default_timezone()).date()
    found: list[date] = []
    for _ in range(3):
        month = (month.replace(day=1) - timedelta(days=1)).replace(day=1)
        found.insert(0, month)
    return found


@pytest.fixture
def bucket(servers, stage):
    """The settings for a folder of the bucket that is this test's own."""
    return {"AUDIT_EXPORT_TO": f"s3://{EXPORT_BUCKET}/{stage.database}"}


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "sshd") as found:
        yield found


@pytest.fixture
def delivering(acting_as, tmp_path):
    """Deliver as the worker does, with these settings."""

    def deliver(**settings: str) -> list[Delivered | NotDelivered]:
        named: dict[str, Any] = {
            name: Path(value) if name.endswith("_FILE") else value
            for name, value in settings.items()
        }
        with override_settings(AUDIT_EXPORT_WORK_DIR=tmp_path / "work", **named):
            with acting_as("work"):
                return list(deliver_months(actor=ACTOR))

    return deliver


def append_all(*members: dict[str, Any]) -> None:
    with transaction.atomic():
        append_many(events=[new(each) for each in members])


def in_middle_of(month: date) -> datetime:
    return bounds(month)[0] + timedelta(days=10)


def happened_in(months: list[date], log=None) -> None:
    for month in months:
        append_all(*(played(now=in_middle_of(month), log=log) for _ in range(3)))


def names(log: str, months: list[date]) -> list[str]:
    return [f"{log}-{month:%Y-%m}.zip" for month in months]


def fetched(servers, stage, folder: Path) -> list[Path]:
    """What lies in the bucket, read by its administrator."""
    admin = servers.s3("admin")
    listed = admin.list_objects_v2(Bucket=EXPORT_BUCKET, Prefix=f"{stage.database}/")
    folder.mkdir(exist_ok=True)
    paths = []
    for found in listed.get("Contents", []):
        paths.append(folder / Path(found["Key"]).name)
        body = admin.get_object(Bucket=EXPORT_BUCKET, Key=found["Key"])["Body"].read()
        paths[-1].write_bytes(body)
    return paths


def check(paths: list[Path], log: str = LOG) -> str:
    """Have the verifier check the files, as a program of its own."""
    keys = "\n".join(proofs.public_keys(log=log))
    ran = subprocess.run(
        [sys.executable, verify.__file__, *map(str, paths), "--key", keys],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == verify.INTACT, ran.stdout + ran.stderr
    return ran.stdout


def bodies_in(path: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(path) as bundle:
        return [
            json.loads(line)
            for name in sorted(bundle.namelist())
            if name.startswith("events/") and name.endswith(".jsonl")
            for line in bundle.read(name).splitlines()
        ]


class TestDeliverMonths:
    def test_makes_up_for_months_missed_and_delivers_none_twice(
        self, companies, vakka, sealer, delivering, months, servers, stage, bucket, tmp_path
    ):
        happened_in(months)
        happened_in(months, log=vakka.pk)

        first = delivering(**bucket)
        second = delivering(**bucket)

        of_company = str(vakka.pk)
        assert [(one.log, one.month) for one in first] == [
            (log, month) for log in (LOG, of_company) for month in months
        ]
        assert second == []
        found = {path.name: path for path in fetched(servers, stage, tmp_path / "got")}
        assert sorted(found) == sorted(names(LOG, months) + names(of_company, months))
        for log in (LOG, of_company):
            said = check([found[name] for name in names(log, months)], log)
            assert said.count("INTACT") == 4
        told = events(EventType.BUNDLE_DELIVERED).filter(log=of_company)
        assert [json.loads(event.body)["x"]["digest"] for event in told.order_by("id")] == list(
            Delivery.objects.filter(log=of_company)
            .order_by("month")
            .values_list("manifest_digest", flat=True)
        )
        assert list((tmp_path / "work").glob("*/*")) == []

    def test_is_continued_by_the_next_however_many_exports_lie_between(
        self, sealer, delivering, months, servers, stage, bucket, tmp_path, monkeypatch
    ):
        happened_in(months)
        delivering(**bucket)
        monkeypatch.setattr("audit.bundles.building.CONTINUED_BUNDLES", 0)
        next_one = tmp_path / "next"

        for _step in to_folder(
            target=next_one,
            wanted=Filter(logs=[None], from_at=bounds(months[-1])[1]),
            form=Format.JSONL,
            actor=ACTOR,
            now=clock.now(),
        ):
            pass

        found = {path.name: path for path in fetched(servers, stage, tmp_path / "got")}
        check([found[names(LOG, months)[-1]], next_one])

    def test_puts_each_event_at_a_months_edge_into_one_of_them(
        self, sealer, delivering, months, server
    ):
        begins, ends = bounds(months[1])
        last = ends - timedelta(microseconds=1)
        at_edges = {}
        for at in (begins - timedelta(microseconds=1), begins, begins, last, last, ends, ends):
            member = given.signed_in(now=at, actor=Actor.user(uuid4()))
            at_edges[member["actor"].reference] = at
            append_all(member)

        delivering(**server.settings)

        for path, month in zip(server.files(), months, strict=True):
            first, until = bounds(month)
            inside = {
                body["act"]["ref"]
                for body in bodies_in(path)
                if first <= datetime.fromisoformat(body["ts"]) < until
            }
            assert inside == {who for who, at in at_edges.items() if first <= at < until}
        said = check(server.files())
        assert "in neither" not in said

    def test_waits_until_a_month_is_surely_over(self, sealer, acting_as, months):
        from audit.deliveries import due_months

        append_all(given.signed_in(now=in_middle_of(months[2])))
        ends = bounds(months[2])[1]

        assert due_months(log=LOG, now=ends + LONGEST_TRANSACTION - timedelta(seconds=1)) == []
        assert due_months(log=LOG, now=ends + LONGEST_TRANSACTION) == [months[2]]

    def test_a_log_that_fails_stops_no_other_and_its_page_says_so(
        self,
        companies,
        vakka,
        aune,
        signed_in,
        sealer,
        delivering,
        months,
        servers,
        stage,
        bucket,
        tmp_path,
    ):
        happened_in(months[1:])
        happened_in(months[1:], log=vakka.pk)
        key = f"{stage.database}/{names(LOG, months)[1]}"
        servers.s3("admin").put_object(Bucket=EXPORT_BUCKET, Key=key, Body=b"somebody's")

        failed = delivering(**bucket)
        again = delivering(**bucket)

        assert failed[0] == NotDelivered(LOG, months[1], "occupied")
        assert [one.log for one in failed[1:]] == [log_name(vakka.pk)] * 2
        assert again == failed[:1]
        # It is news once.
        (incident,) = events(EventType.INCIDENT_RAISED)
        assert json.loads(incident.body)["x"] == {
            "kind": "audit_month_not_delivered",
            "reason": "occupied",
        }
        page = signed_in(aune).get("/audit/?log=installation", headers={"Accept-Language": "en"})
        assert f"The export of {months[1]:%m/%Y}, last tried" in page.text
        assert "Another file lies under the name at the receiver." in page.text
        servers.s3("admin").delete_object(Bucket=EXPORT_BUCKET, Key=key)
        assert [one.month for one in delivering(**bucket)] == months[1:]
        assert standing(log=LOG).failing is None

    def test_is_refused_when_it_cannot_be_logged_and_goes_on_later(
        self, sealer, delivering, months, server, stage
    ):
        from tests.harness.faults import log_refused

        happened_in(months[2:])

        with log_refused(stage):
            (failed,) = delivering(**server.settings)

        assert (failed.reason, server.files()) == ("unlogged", [])
        assert len(delivering(**server.settings)) == 1


class TestKilled:
    @pytest.mark.parametrize("where", ["bucket", "server"])
    def test_goes_on_and_each_month_arrives_once(
        self, request, where, sealer, months, servers, stage, tmp_path
    ):
        happened_in(months)
        receiving = request.getfixturevalue(where)
        settings = receiving if where == "bucket" else receiving.settings
        settings = {**settings, "AUDIT_EXPORT_WORK_DIR": str(tmp_path / "work")}
        chance = random.Random(where)

        for _ in range(2):
            process = subprocess.Popen(
                [sys.executable, "manage.py", "audit", "monthly"],
                cwd=ROOT,
                env=environment(stage, "work", **settings),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                process.wait(timeout=chance.uniform(0.8, 1.6))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        done = manage(stage, "audit", "monthly", "--json", role="work", **settings)

        assert (done.code, done.answer["failed"]) == (0, [])
        in_bucket = fetched(servers, stage, tmp_path / "got")
        found = in_bucket if where == "bucket" else receiving.files()
        assert [path.name for path in found] == names(LOG, months)
        assert check(found).count("INTACT") == 4
        assert events(EventType.BUNDLE_DELIVERED).count() == 3

    def test_between_arriving_and_being_noted(self, sealer, delivering, months, server):
        happened_in(months[2:])
        delivering(**server.settings)
        (before,) = server.files()
        arrived = (before.stat().st_ino, before.read_bytes())
        work = server.folder.parent.parent / "work" / "jsonl"
        Delivery.objects.all().delete()
        (work / before.name).write_bytes(before.read_bytes())
        with zipfile.ZipFile(before) as bundle:
            bundle.extractall(work / before.stem)

        (outcome,) = delivering(**server.settings)

        assert isinstance(outcome, Delivered)
        (after,) = server.files()
        assert (after.stat().st_ino, after.read_bytes()) == arrived
        # Killed a moment later, it leaves what is not needed any more.
        (work / before.stem).mkdir()
        assert delivering(**server.settings) == []
        assert list(work.iterdir()) == []


class TestReceivers:
    def test_says_what_to_do_and_delivers_when_it_is_done(
        self, sealer, delivering, months, server, tmp_path, monkeypatch
    ):
        happened_in(months[2:])
        other = server.key_file.with_name("other")
        other_host = f"[127.0.0.1]:{server.port} {other.with_suffix('.pub').read_text()}"
        (tmp_path / "other_hosts").write_text(other_host)
        (tmp_path / "no_hosts").write_text("")
        nonsense, cut_off = tmp_path / "nonsense", tmp_path / "cut_off"
        nonsense.write_bytes(b"\xff\xfe of no use\n")
        cut_off.write_text("127.0.0.1 ssh-ed25519 AAA\n")
        settings = server.settings
        to = settings["AUDIT_EXPORT_TO"]
        wrong = [
            ("unknown_host", {"AUDIT_EXPORT_KNOWN_HOSTS_FILE": str(tmp_path / "other_hosts")}),
            ("unknown_host", {"AUDIT_EXPORT_KNOWN_HOSTS_FILE": str(tmp_path / "no_hosts")}),
            ("key_refused", {"AUDIT_EXPORT_KEY_FILE": str(other)}),
            ("refused", {"AUDIT_EXPORT_TO": f"{to}/missing"}),
            ("misconfigured", {"AUDIT_EXPORT_TO": to.replace("sftp:", "ftp:")}),
            ("misconfigured", {"AUDIT_EXPORT_KEY_FILE": str(tmp_path / "none")}),
            ("misconfigured", {"AUDIT_EXPORT_KEY_FILE": str(nonsense)}),
            ("misconfigured", {"AUDIT_EXPORT_KNOWN_HOSTS_FILE": str(nonsense)}),
            ("misconfigured", {"AUDIT_EXPORT_KNOWN_HOSTS_FILE": str(cut_off)}),
            ("misconfigured", {"AUDIT_EXPORT_FORMAT": "xml"}),
            ("refused", {"AUDIT_EXPORT_TO": "s3://no-such-bucket/x"}),
            ("unavailable", {"AUDIT_EXPORT_TO": to.replace(f":{server.port}", ":9")}),
        ]

        found = [delivering(**{**settings, **each})[0].reason for _reason, each in wrong]

        assert found == [reason for reason, _each in wrong]
        assert server.files() == []
        other_file = server.folder / names(LOG, months)[2]
        other_file.write_text("somebody's")
        assert delivering(**settings)[0].reason == "occupied"
        assert other_file.read_text() == "somebody's"
        other_file.unlink()
        assert isinstance(delivering(**settings)[0], Delivered)
        assert check(server.files())

    def test_that_hang_are_given_up(self, months, server, tmp_path, monkeypatch):
        monkeypatch.setattr(sftp, "CONNECT_SECONDS", 0.3)
        monkeypatch.setattr(sftp, "STALLED_SECONDS", 0.3)
        (tmp_path / "file").write_bytes(b"x")
        files = {
            "AUDIT_EXPORT_KEY_FILE": server.key_file,
            "AUDIT_EXPORT_KNOWN_HOSTS_FILE": server.known_hosts_file,
        }

        def reason(port: int, known_hosts: Path = server.known_hosts_file) -> str:
            to = server.settings["AUDIT_EXPORT_TO"].replace(str(server.port), str(port))
            files["AUDIT_EXPORT_KNOWN_HOSTS_FILE"] = known_hosts
            with override_settings(AUDIT_EXPORT_TO=to, **files):
                with pytest.raises(NotReceived) as told:
                    receiver().deliver(tmp_path / "file", "file")
            return told.value.reason

        with socket.create_server(("127.0.0.1", 0)) as silent:
            assert reason(silent.getsockname()[1]) == "unavailable"
        with serving(tmp_path / "slow", command="sleep 60") as slow:
            files["AUDIT_EXPORT_KEY_FILE"] = slow.key_file
            assert reason(slow.port, slow.known_hosts_file) == "unavailable"


class TestCommand:
    def test_tells_what_failed_and_what_is_not_set(self, sealer, months, stage, tmp_path):
        happened_in(months[2:])

        failed = manage(
            stage,
            *("audit", "monthly"),
            role="work",
            AUDIT_EXPORT_TO="s3://no-such-bucket/x",
            AUDIT_EXPORT_WORK_DIR=str(tmp_path / "work"),
        )

        assert failed.code == 1
        assert f"{months[2]:%Y-%m}  NOT DELIVERED, log installation: The receiver" in failed.out
        with pytest.raises(CommandError, match="AUDIT_EXPORT_TO is not set"):
            call_command("audit", "monthly")

    def test_the_timetable_does_the_same(self, sealer, acting_as, months, server, tmp_path):
        from audit.tasks import deliver_months as task

        happened_in(months[2:])
        to = {name: value for name, value in server.settings.items() if "FILE" not in name}
        with acting_as("work"):
            task()
            assert server.files() == []
            with override_settings(
                AUDIT_EXPORT_WORK_DIR=tmp_path / "work",
                AUDIT_EXPORT_KEY_FILE=server.key_file,
                AUDIT_EXPORT_KNOWN_HOSTS_FILE=server.known_hosts_file,
                **to,
            ):
                task()

        assert [path.name for path in server.files()] == names(LOG, months[2:])
