"""Law 4: held is untouchable by any path, with any of our own keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from botocore.exceptions import ClientError
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError

from accounts.models import User
from audit import clock
from config.servers import Servers
from config.servers.identities import CONTENT_BUCKET
from recordings.models import (
    BusinessReference,
    Conversation,
    Dialog,
    Party,
    PermittedUse,
    Rendition,
    Segment,
    StoredObject,
)
from recordings.objectstore import ObjectStore
from retention.models import Hold, Matter
from retention.operations.mirror import mirror_holds
from retention.operations.purge.run import Tally, purge
from tests.factories import Centre
from tests.harness.roles import Role
from tests.laws import ways
from tests.laws.ways import SPOKEN, Kept

ROLES: tuple[Role, ...] = ("web", "work", "purge", "owner")
IDENTITIES = ("content", "purge")

STATEMENTS = (
    "DELETE FROM recordings_conversation",
    "TRUNCATE recordings_conversation CASCADE",
    "UPDATE recordings_conversation SET state = 'withdrawn', withdrawn_at = now()",
    "UPDATE recordings_conversation SET hold_count = 0",
    "UPDATE recordings_conversation SET state = 'withdrawn', withdrawn_at = now(), hold_count = 0",
    "UPDATE recordings_conversation SET wrapped_key = NULL, key_destroyed_at = now()",
    r"UPDATE recordings_conversation SET wrapped_key = '\x00'",
    "UPDATE recordings_conversation SET kek_name = 'kek/none'",
    "DELETE FROM recordings_dialog",
    "DELETE FROM recordings_rendition",
    "DELETE FROM recordings_storedobject",
    "DELETE FROM recordings_party",
    "DELETE FROM recordings_segment",
    "DELETE FROM recordings_businessreference",
    "TRUNCATE recordings_businessreference",
    r"UPDATE recordings_businessreference SET reference_hash = '\x00'",
    "TRUNCATE recordings_dialog CASCADE",
    "TRUNCATE recordings_storedobject CASCADE",
    "UPDATE recordings_storedobject SET key = 'elsewhere', version_id = 'none'",
    r"UPDATE recordings_storedobject SET stream_header = '\x00'",
    "UPDATE recordings_rendition SET sealed_body = NULL",
    "UPDATE recordings_party SET sealed_details = NULL",
    "UPDATE recordings_dialog SET sealed_name = NULL",
    "DELETE FROM retention_hold",
    "TRUNCATE retention_hold CASCADE",
    "UPDATE retention_hold SET conversation_id = gen_random_uuid()",
)


@pytest.fixture
def held(centre: Centre) -> Kept:
    """A call and a chat whose time has long ended, held for a matter of Casper's."""
    kept = ways.kept(centre)
    BusinessReference.objects.create(conversation=kept.call, kind="claim", reference_hash=bytes(32))
    centre.matter_of(kept.call, kept.chat)
    with centre.stage.acting_as("work"):
        mirror_holds(store=ObjectStore.for_content(), now=clock.now())
    for conversation in (kept.call, kept.chat):
        centre.end(conversation, at=clock.now() - timedelta(days=1))
    return kept


def run_purge(centre: Centre) -> Tally:
    with centre.stage.acting_as("purge"):
        return purge(
            content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now
        )


@pytest.fixture
def assert_untouched(centre: Centre, held: Kept, signed_in: Callable) -> Callable[[], None]:
    """Whoever may hear it still hears every byte of it, and not only rows are left."""
    before = {
        model: set(map(repr, model.objects.values_list()))
        for model in (
            Conversation,
            Dialog,
            Rendition,
            StoredObject,
            Party,
            Segment,
            Hold,
            BusinessReference,
        )
    }
    casper: User = centre.casper

    def check() -> None:
        for model, rows in before.items():
            assert rows <= set(map(repr, model.objects.values_list())), model.__name__
        visitor = signed_in(casper)
        heard = visitor.listen(held.sound.pk, purpose="matter", bytes_range=None)
        assert heard.status in (200, 206)
        assert len(heard.body) == held.sound.stored_object.plain_size_bytes
        assert SPOKEN in visitor.get(f"/conversations/{held.chat.pk}/?purpose=matter").text

    return check


class TestHeld:
    def test_outlives_a_purge_that_would_take_it_and_goes_once_lifted(
        self, centre: Centre, held: Kept, assert_untouched: Callable
    ):
        due = centre.chat()
        centre.end(due, at=clock.now() - timedelta(days=1))

        tally = run_purge(centre)

        assert (tally.destroyed, tally.held) == (1, 2)
        due.refresh_from_db()
        assert due.state == "destroyed"
        assert_untouched()

    @pytest.mark.parametrize("role", ROLES)
    def test_outlives_the_shell(
        self, centre: Centre, held: Kept, assert_untouched: Callable, role: Role
    ):
        with centre.stage.acting_as(role):
            for model in (
                *(Conversation, Dialog, Rendition, StoredObject, Party, Segment),
                *(BusinessReference, Matter, Hold),
            ):
                with pytest.raises((DatabaseError, ProtectedError)):
                    model.objects.all().delete()
                with pytest.raises((DatabaseError, ProtectedError)):
                    model.objects.all()._raw_delete("default")
            with pytest.raises((DatabaseError, ProtectedError)):
                held.call.delete()

        assert_untouched()

    @pytest.mark.parametrize("role", ROLES)
    def test_outlives_sql(self, centre: Centre, held: Kept, assert_untouched: Callable, role: Role):
        got_through = []
        with centre.stage.acting_as(role):
            for statement in STATEMENTS:
                try:
                    with transaction.atomic(), connection.cursor() as cursor:
                        cursor.execute(statement)
                except DatabaseError:
                    continue
                got_through.append(statement)

        assert got_through == []
        assert_untouched()

    @pytest.mark.parametrize("identity", IDENTITIES)
    def test_outlives_the_store_with_our_own_keys(
        self,
        centre: Centre,
        held: Kept,
        servers: Servers,
        assert_untouched: Callable,
        identity: str,
    ):
        client = servers.s3(identity)
        stored = list(StoredObject.objects.values_list("key", "version_id"))
        for key, version in stored:
            for deed in (
                lambda key=key, version=version: client.delete_object(
                    Bucket=CONTENT_BUCKET, Key=key, VersionId=version
                ),
                lambda key=key: client.delete_object(Bucket=CONTENT_BUCKET, Key=key),
                lambda key=key, version=version: client.delete_object(
                    Bucket=CONTENT_BUCKET,
                    Key=key,
                    VersionId=version,
                    BypassGovernanceRetention=True,
                ),
            ):
                with pytest.raises(ClientError):
                    deed()
        answer = client.delete_objects(
            Bucket=CONTENT_BUCKET,
            Delete={"Objects": [{"Key": key, "VersionId": version} for key, version in stored]},
        )

        assert len(answer["Errors"]) == len(stored)
        assert "Deleted" not in answer
        assert_untouched()

    def test_the_purge_cannot_lift_the_stores_hold(
        self, centre: Centre, held: Kept, servers: Servers, assert_untouched: Callable
    ):
        for key, version in StoredObject.objects.values_list("key", "version_id"):
            with pytest.raises(ClientError):
                servers.s3("purge").put_object_legal_hold(
                    Bucket=CONTENT_BUCKET, Key=key, VersionId=version, LegalHold={"Status": "OFF"}
                )
            told = servers.s3("admin").get_object_legal_hold(
                Bucket=CONTENT_BUCKET, Key=key, VersionId=version
            )
            assert told["LegalHold"]["Status"] == "ON"

        assert_untouched()

    def test_outlives_the_administrators_site(
        self, centre: Centre, held: Kept, signed_in: Callable, assert_untouched: Callable
    ):
        sulo = signed_in(centre.sulo)
        chosen = {"action": "delete_selected", "_selected_action": str(held.call.pk), "post": "yes"}

        answers = [
            sulo.post(path, data)
            for path, data in (
                ("/admin/recordings/conversation/", chosen),
                (f"/admin/recordings/conversation/{held.call.pk}/delete/", {"post": "yes"}),
                ("/admin/retention/hold/", chosen),
                (f"/admin/accounts/controller/{centre.vakka.pk}/delete/", {"post": "yes"}),
                (f"/admin/accounts/team/{centre.claims.pk}/delete/", {"post": "yes"}),
                (f"/admin/accounts/user/{centre.casper.pk}/delete/", {"post": "yes"}),
            )
        ]

        assert {answer.status for answer in answers} <= {403, 404}
        assert_untouched()

    def test_a_hold_that_is_committed_before_the_run_locks_wins(
        self, centre: Centre, signed_in: Callable
    ):
        due = centre.chat()
        centre.end(due, at=clock.now() - timedelta(days=1))
        # The purge has read that it is due, and waits for the row that the hold has locked.
        url = centre.stage.environment("owner")["DATABASE_URL"]
        with psycopg.connect(url) as other:
            other.execute(
                "SELECT 1 FROM recordings_conversation WHERE id = %s FOR UPDATE", [due.pk]
            )
            skipped = run_purge(centre)
            other.rollback()
        centre.matter_of(due)

        tally = run_purge(centre)

        due.refresh_from_db()
        assert (skipped.destroyed, tally.destroyed, tally.held) == (0, 0, 1)
        assert due.state == "kept"
        assert PermittedUse.objects.filter(conversation=due, only_for=centre.casper).exists()
