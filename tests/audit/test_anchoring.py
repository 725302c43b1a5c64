"""Heads of the log lie locked outside the database, and the sealer heeds what lies there."""

from __future__ import annotations

import pytest
from django.conf import settings

from audit import anchoring, clock, trees
from audit.events import Actor, EventType
from audit.models import Anchor, Event, Origin
from audit.operations.anchoring import LogForked, anchor, check_leads_on, restart
from audit.operations.sealing import Sealer, introduce_key
from audit.sealing_keys import SealingKeys
from config.servers.identities import ANCHOR_BUCKET
from tests.audit.given import go_back_to, happened, signed_in
from tests.harness.commands import manage

pytestmark = pytest.mark.django_db
LOG = "installation"


@pytest.fixture
def keys(tmp_path):
    made = SealingKeys(tmp_path / "seal-keys")
    introduce_key(keys=made, now=clock.now())
    return made


def seal_events(keys, count):
    for _ in range(count):
        happened(signed_in())
    return Sealer(keys).seal(log=LOG, now=clock.now())


class TestAnchor:
    def test_puts_the_newest_head_locked_where_the_sealer_cannot_take_it_back(
        self, acting_as, servers, keys
    ):
        seal_events(keys, 3)

        with acting_as("seal"):
            made = anchor(log=LOG, store=anchoring.writer(), now=clock.now())
            ((place, note),) = anchoring.anchored(anchoring.reader(), log=LOG)

        assert (place.log, place.number, place.size) == (LOG, 1, 4)
        assert note == trees.newest_checkpoint(log=LOG).note
        lock = servers.s3("admin").head_object(Bucket=ANCHOR_BUCKET, Key=made.key)
        assert lock["ObjectLockMode"] == "COMPLIANCE"
        days = (lock["ObjectLockRetainUntilDate"] - clock.now()).days
        assert days >= settings.AUDIT_ANCHOR_KEPT_DAYS - 1

    def test_a_second_time_does_nothing(self, acting_as, keys):
        seal_events(keys, 1)
        with acting_as("seal"):
            anchor(log=LOG, store=anchoring.writer(), now=clock.now())

            assert anchor(log=LOG, store=anchoring.writer(), now=clock.now()) is None

        assert Anchor.objects.count() == 1

    def test_by_two_sealers_at_once_is_written_down_once(self, acting_as, keys):
        seal_events(keys, 1)

        class Overtaken(anchoring.AnchorWriter):
            """Another sealer comes between the look and the put."""

            def put(self, key, body, *, retain_until):
                anchor(log=LOG, store=anchoring.writer(), now=clock.now())
                return anchoring.writer().put(key, body, retain_until=retain_until)

        with acting_as("seal"):
            made = anchor(log=LOG, store=Overtaken(), now=clock.now())

        assert made.key == Anchor.objects.get(log=LOG).key

    def test_the_oldest_version_is_the_anchor_whatever_is_put_over_it(
        self, acting_as, servers, keys
    ):
        seal_events(keys, 1)
        with acting_as("seal"):
            made = anchor(log=LOG, store=anchoring.writer(), now=clock.now())
        admin = servers.s3("admin")
        admin.put_object(Bucket=ANCHOR_BUCKET, Key=made.key, Body=b"forged")
        admin.delete_object(Bucket=ANCHOR_BUCKET, Key=made.key)

        with acting_as("seal"):
            ((_place, note),) = anchoring.anchored(anchoring.reader(), log=LOG)

        assert note == trees.newest_checkpoint(log=LOG).note

    @pytest.mark.parametrize("role", ["web", "work"])
    def test_others_cannot_write_there(self, acting_as, role):
        with acting_as(role), pytest.raises(anchoring.AnchorUnavailable):
            anchoring.writer()


class TestLeadsOn:
    def test_a_log_that_went_on_since(self, acting_as, keys):
        seal_events(keys, 2)
        with acting_as("seal"):
            anchor(log=LOG, store=anchoring.writer(), now=clock.now())
        seal_events(keys, 2)

        with acting_as("seal"):
            check_leads_on(log=LOG, store=anchoring.reader())

        assert trees.newest_checkpoint(log=LOG).size > Anchor.objects.get().size

    def test_not_a_log_that_was_restored_or_cut(self, acting_as, keys):
        seal_events(keys, 2)
        seal_events(keys, 2)
        with acting_as("seal"):
            anchor(log=LOG, store=anchoring.writer(), now=clock.now())
        go_back_to(3)

        with acting_as("seal"), pytest.raises(LogForked, match="anchored with 5 events"):
            check_leads_on(log=LOG, store=anchoring.reader())

    def test_a_restored_log_goes_on_under_a_new_origin_that_names_the_lost_head(
        self, acting_as, keys
    ):
        seal_events(keys, 2)
        seal_events(keys, 2)
        with acting_as("seal"):
            anchor(log=LOG, store=anchoring.writer(), now=clock.now())
        go_back_to(3)

        with acting_as("seal"):
            restart(
                log=LOG,
                store=anchoring.reader(),
                actor=Actor.system("command"),
                now=clock.now(),
            )
            Sealer(keys).seal(log=LOG, now=clock.now())
            check_leads_on(log=LOG, store=anchoring.reader())

        assert Origin.objects.get(number=2).from_size == 3
        assert trees.newest_checkpoint(log=LOG).origin.endswith("/installation/2")
        restarted = Event.objects.get(event_type=EventType.LOG_RESTARTED)
        assert '"lost":2' in restarted.body

    def test_a_log_that_leads_on_is_not_restarted(self, acting_as, keys):
        seal_events(keys, 1)

        with acting_as("seal"), pytest.raises(ValueError, match="nothing to restart"):
            restart(
                log=LOG, store=anchoring.reader(), actor=Actor.system("command"), now=clock.now()
            )


class TestCommand:
    def test_seals_and_anchors_what_waits(self, stage):
        happened(signed_in())

        done = manage(stage, "seal_audit", "--once", role="seal")

        assert done.code == 0, done.printed
        assert trees.newest_checkpoint(log=LOG).size == 2
        assert Anchor.objects.filter(log=LOG).exists()

    def test_without_its_key_folder_says_so(self, stage):
        done = manage(stage, "seal_audit", "--once", role="work")

        assert done.code == 1
        assert "AUDIT_SEAL_KEYS_DIR" in done.printed
