"""A certificate says of each conversation how it was destroyed, and the log vouches for it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from accounts.models import User
from audit import clock, verify
from audit.models import Event, Leaf
from recordings.models import Conversation
from recordings.objectstore import ObjectStore, content_key
from retention import certificate as documents
from retention.models import Certificate, Destruction, PurgeRun, RuleVersion
from retention.operations import certificates
from retention.operations.purge import leases
from tests.factories import CUSTOMER, Centre
from tests.retention.centre import Centre as Company
from tests.retention.centre import counted
from tests.retention.certified import (
    certify,
    destroy,
    file_of,
    issue_due,
    keys_of,
    seal_logs,
)

TIMES = ("withdrawn_at", "key_destroyed_at", "concluded_at", "destroy_after")


@pytest.fixture
def done(centre: Centre) -> Certificate:
    """The certificate of a run that destroyed two calls and a chat."""
    destroy(centre, centre.call(), centre.call(), centre.chat())
    (made,) = certify(centre.stage)
    return made


class TestIssue:
    def test_calls_and_chats_and_what_was_derived_of_them(self, done):
        found = verify.check_certificate(file_of(done), keys_of(done))

        assert found.said["counts"] == {
            "brought_back": 0,
            "destroyed": 3,
            "object_versions": sum(len(row.objects_destroyed) for row in done.lines.all()),
            "remaining": 0,
        }
        assert found.said["counts"]["object_versions"] >= 3
        assert found.said["run"]["id"] == str(PurgeRun.objects.get().pk)
        assert counted("certificate.issued") == 1

    def test_awaits_its_seal_until_the_log_is_sealed_twice(self, centre):
        destroy(centre, centre.call())

        assert issue_due(centre.stage).issued == 0
        seal_logs(centre.stage)
        assert issue_due(centre.stage).issued == 1
        made = Certificate.objects.get()
        assert (made.seal, made.sealed_at) == (None, None)
        assert issue_due(centre.stage).sealed == 0
        seal_logs(centre.stage)
        assert issue_due(centre.stage).sealed == 1

    def test_a_second_time_does_nothing(self, centre, done):
        before = file_of(done)

        assert issue_due(centre.stage) == certificates.Tally()

        (after,) = Certificate.objects.all()
        assert file_of(after) == before
        assert counted("certificate.issued") == 1

    def test_two_at_once_do_no_harm(self, centre):
        destroy(centre, *(centre.chat() for _ in range(3)))
        seal_logs(centre.stage)

        def issue() -> int:
            with closing(connection):
                return certificates.issue_due(now=clock.now()).issued

        with centre.stage.acting_as("work"), ThreadPoolExecutor(4) as pool:
            issued = sum(job.result() for job in [pool.submit(issue) for _ in range(8)])

        assert issued == Certificate.objects.count() == counted("certificate.issued") == 1
        assert Certificate.objects.get().lines.count() == 3

    @pytest.mark.parametrize("at", ["_write_lines", "append"])
    def test_ended_half_way_it_leaves_nothing_and_goes_on(self, centre, monkeypatch, at):
        destroy(centre, centre.chat())
        seal_logs(centre.stage)
        whole = getattr(certificates, at)

        def deadly(*args: Any, **said: Any) -> None:
            whole(*args, **said)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(certificates, at, deadly)
            issue_due(centre.stage)

        assert not Certificate.objects.exists()
        assert Destruction.objects.uncertified().count() == 1
        assert issue_due(centre.stage).issued == 1
        assert counted("certificate.issued") == 1

    def test_each_company_has_its_own_of_a_run(self, centre):
        destroy(centre, centre.call(), centre.call(of=centre.funds, by=centre.onni_pbx))

        made = certify(centre.stage)

        assert {one.controller for one in made} == {centre.vakka, centre.onni}
        for one in made:
            said = verify.check_certificate(file_of(one), keys_of(one)).said
            (line,) = said["lines"]
            assert Conversation.objects.get(pk=line["conversation"]).controller == one.controller

    def test_names_no_person(self, centre, done):
        text = file_of(done).decode()

        names = {CUSTOMER.name, "aino.agentti", *(value for _, value in CUSTOMER.identifiers)}
        for user in User.objects.all():
            names |= {user.full_name, user.email, f'"{user.pk}"', *user.full_name.split()}
        assert len(names) > 20
        assert [name for name in names if name and name in text] == []
        assert str(centre.olga.reference) in text  # who put the rule in force


class TestIsWhatHappened:
    def test_reckoned_anew_from_rows_and_events_it_is_the_same(self, done):
        said = json.loads(file_of(done))["certificate"]

        residual = Conversation.objects.filter(state="destroyed").in_bulk()
        told = {
            event.conversation: event
            for event in Event.objects.filter(event_type="conversation.destroyed")
        }
        keys = {
            event.conversation: event.happened_at
            for event in Event.objects.filter(event_type="content_key.destroyed")
        }
        assert {line["conversation"] for line in said["lines"]} == set(map(str, residual))
        for line in said["lines"]:
            row = next(row for pk, row in residual.items() if str(pk) == line["conversation"])
            event, proof = told[row.pk], row.destructions.get()
            assert line["event"] == json.loads(event.body)
            assert line["leaf_index"] == Leaf.objects.get(event=event.id).leaf_index
            times = {name: datetime.fromisoformat(line[name]) for name in TIMES}
            assert times == {
                "withdrawn_at": row.withdrawn_at,
                "key_destroyed_at": row.key_destroyed_at,
                "concluded_at": row.destroyed_at,
                "destroy_after": row.destroy_after,
            }
            assert keys[row.pk] == row.key_destroyed_at
            assert [[o["key"], o["version"], o["sha256"]] for o in line["objects"]] == (
                proof.objects_destroyed
            )
            uses = row.permitted_uses.filter(authority_kind="rule")
            assert line["rules"] == [str(use.authority) for use in uses]
        (rule,) = said["rules"]
        version = RuleVersion.objects.get(pk=rule["version"])
        both = (version.created_by, version.approved_by)
        assert rule["approved_by"] == [str(person.reference) for person in both]

    def test_what_is_still_present_is_on_none_until_it_is_gone(self, stage):
        company = Company(stage)
        company.capture(2)
        (stays,) = company.capture()

        class Failing(ObjectStore):
            def delete_versions(self, versions: Any) -> Any:
                return super().delete_versions([v for v in versions if str(stays.pk) not in v.key])

        with stage.acting_as("purge"):
            failing = Failing.for_purge()
        for _ in range(3):
            company.purge(content=failing)
            Destruction.objects.filter(next_try_at__isnull=False).update(next_try_at=clock.now())
        (first,) = certify(stage)

        said = verify.check_certificate(file_of(first), keys_of(first)).said
        assert (said["counts"]["destroyed"], said["counts"]["remaining"]) == (2, 1)
        assert str(stays.pk) not in file_of(first).decode()

        with stage.acting_as("purge"):
            leases.try_again(conversation_ids=[stays.pk], actor=certificates.ACTOR, now=clock.now())
        company.purge()
        _, second = certify(stage)

        said = verify.check_certificate(file_of(second), keys_of(second)).said
        assert [line["conversation"] for line in said["lines"]] == [str(stays.pk)]
        assert (second.run, second.number) == (first.run, 2)

    def test_a_stray_version_nobody_knew_of_is_on_it_without_a_digest(self, stage):
        company = Company(stage)
        (due,) = company.capture()
        stray = content_key(ended_on=due.ended_at.date(), conversation_id=due.pk, part_id=uuid4())
        company.content.put(stray, b"left behind")

        company.purge()
        (made,) = certify(stage)

        (line,) = verify.check_certificate(file_of(made), keys_of(made)).said["lines"]
        assert sorted(o["sha256"] is None for o in line["objects"]) == [False, False, True]

    def test_many_are_written_and_read_in_pieces(self, centre, monkeypatch):
        monkeypatch.setattr(certificates, "CHUNK", 2)
        monkeypatch.setattr("retention.run_queries.LINES_TOGETHER", 2)
        monkeypatch.setattr(documents, "PIECES_TOGETHER", 2)
        destroy(centre, *(centre.chat() for _ in range(5)))

        (made,) = certify(centre.stage)

        found = verify.check_certificate(file_of(made), keys_of(made))
        assert found.said["counts"]["destroyed"] == len(found.said["lines"]) == 5
