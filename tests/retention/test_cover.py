"""What rules permit of a conversation: the rows written at capture and when rules change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import ProtectedError
from django.utils import translation

from accounts.models import NoticedTime
from accounts.roles import Role
from audit.models import Event
from recordings.keyring import FileKeyring
from recordings.models import Conversation, Party, PermittedUse
from recordings.operations.uses import NewUse, NotKept, kek_name_for, write_uses
from retention.models import Recomputation
from retention.operations.cover import cover
from retention.operations.notices import record_notice
from retention.operations.recompute import recompute_next, request_recomputation
from retention.operations.rules import RuleRefused
from retention.permissions import NotEntitled
from retention.queries import uncovered
from retention.wording import applies_to, names_of
from tests.retention.enacting import change_rule, create_rule, retire_rule
from tests.retention.retention_factories import (
    ENDED,
    NOW,
    draft,
    make_controller,
    make_conversation,
    make_purpose,
    make_queue,
    make_source,
    make_team,
    make_user,
)

LATER = NOW + timedelta(days=10)


@pytest.fixture
def keyring(tmp_path):
    return FileKeyring.prepare(tmp_path / "keys")


@pytest.fixture
def vakka(db):
    return make_controller()


@pytest.fixture
def claims(vakka):
    return make_team(vakka)


@pytest.fixture
def officer(vakka):
    return make_user("Olga Officer", Role.COMPLIANCE_OFFICER, vakka)


@pytest.fixture
def source(vakka):
    return make_source(vakka)


@pytest.fixture
def coaching(db):
    return make_purpose("coaching")


@pytest.fixture
def rule(vakka, coaching, officer):
    return create_rule(
        controller=vakka,
        purpose=coaching,
        name="Coaching",
        draft=draft(months=6),
        user=officer,
        now=NOW - timedelta(days=30),
    )


def events_of(conversation: Conversation) -> list[str]:
    return list(
        Event.objects.filter(conversation=conversation.pk).values_list("event_type", flat=True)
    )


class TestCover:
    def test_gives_uses_and_an_end_and_says_so(self, source, claims, rule, coaching):
        conversation = make_conversation(source, stretches=[(claims, None)])

        cover(conversation=conversation, now=NOW)

        use = conversation.permitted_uses.get()
        conversation.refresh_from_db()
        assert (use.purpose, use.authority) == (coaching, rule.pk)
        assert (use.from_at, use.until_at) == (ENDED, datetime(2027, 5, 20, 11, 32, tzinfo=UTC))
        assert conversation.destroy_after == use.until_at
        assert events_of(conversation) == ["conversation.covered"]

    def test_moves_the_key_to_the_month_of_the_end(self, source, rule, keyring):
        conversation = make_conversation(source, keyring=keyring)

        cover(conversation=conversation, now=NOW, keyring=keyring)

        conversation.refresh_from_db()
        assert conversation.kek_name == f"kek/{source.controller_id}/2027-05"
        assert keyring.unwrap(
            kek_name=conversation.kek_name,
            wrapped_key=conversation.wrapped_key,
            context=conversation.pk.bytes,
        ) == bytes(32)

    def test_gives_what_no_rule_matches_thirty_days(self, source):
        conversation = make_conversation(source)

        cover(conversation=conversation, now=NOW)

        assert Conversation.objects.uncovered().get() == conversation
        assert conversation.destroy_after == NOW + timedelta(days=30)
        assert not conversation.permitted_uses.exists()
        assert events_of(conversation) == ["conversation.covered"]

    def test_a_retired_rule_covers_nothing(self, source, rule, officer):
        retire_rule(rule=rule.rule, based_on=1, user=officer, now=NOW - timedelta(days=1))
        conversation = make_conversation(source)

        cover(conversation=conversation, now=NOW)

        assert conversation.uncovered_at == NOW

    def test_goes_by_rules_changed_while_it_was_being_captured(
        self, source, vakka, coaching, officer
    ):
        create_rule(
            controller=vakka,
            purpose=coaching,
            name="Made meanwhile",
            draft=draft(months=3),
            user=officer,
            now=NOW + timedelta(seconds=5),
        )
        conversation = make_conversation(source)

        cover(conversation=conversation, now=NOW)

        assert conversation.permitted_uses.get().until_at == datetime(
            2027, 2, 20, 12, 32, tzinfo=UTC
        )

    def test_asks_the_queue_whether_it_holds_health_data(self, source, claims, rule, vakka):
        queue = make_queue(vakka, holds_health_data=True)
        conversation = make_conversation(source, stretches=[(claims, queue)])

        cover(conversation=conversation, now=NOW)

        assert conversation.uncovered_at == NOW


class TestWriteUses:
    def test_leaves_a_matters_use_and_its_end_alone(self, source, coaching):
        conversation = make_conversation(source)
        handler = make_user("Hanna Handler")
        matters_use = PermittedUse.objects.create(
            conversation=conversation,
            purpose=coaching,
            from_at=NOW,
            until_at=NOW + timedelta(days=9999),
            authority_kind=PermittedUse.AuthorityKind.MATTER,
            authority=UUID(int=5),
            only_for=handler,
        )

        write_uses(conversation=conversation, uses=[], now=NOW)

        conversation.refresh_from_db()
        assert conversation.permitted_uses.get() == matters_use
        assert conversation.uncovered_at == NOW

    def test_does_nothing_the_second_time(self, source, coaching):
        conversation = make_conversation(source)
        use = NewUse(coaching.pk, ENDED, ENDED + timedelta(days=30), UUID(int=7))

        first = write_uses(conversation=conversation, uses=[use], now=NOW)
        row = conversation.permitted_uses.get()
        second = write_uses(conversation=conversation, uses=[use], now=NOW)

        assert (first, second) == (True, False)
        assert conversation.permitted_uses.get().pk == row.pk

    def test_opens_nothing_that_is_withdrawn(self, source, coaching):
        conversation = make_conversation(source)
        Conversation.objects.filter(pk=conversation.pk).update(state="withdrawn", withdrawn_at=NOW)
        use = NewUse(coaching.pk, ENDED, ENDED + timedelta(days=30), UUID(int=7))

        with pytest.raises(NotKept):
            write_uses(conversation=conversation, uses=[use], now=NOW)

        assert not conversation.permitted_uses.exists()

    def test_a_held_one_belongs_under_the_open_key(self, source):
        conversation = make_conversation(source)
        conversation.destroy_after = datetime(2027, 5, 20, tzinfo=UTC)
        conversation.hold_count = 1

        assert kek_name_for(conversation) == f"kek/{source.controller_id}/open"


class TestRecompute:
    def test_carries_a_change_of_rules_to_what_is_kept(
        self, source, rule, officer, keyring, acting_as
    ):
        kept = [make_conversation(source, keyring=keyring) for _ in range(5)]
        for conversation in kept:
            cover(conversation=conversation, now=NOW, keyring=keyring)
        change_rule(rule=rule.rule, draft=draft(months=3), based_on=1, user=officer, now=NOW)

        with acting_as("work"):
            while recompute_next(now=NOW, keyring=keyring, batch_size=2):
                pass

        ends = {one.destroy_after for one in Conversation.objects.filter(source=source)}
        keks = {one.kek_name for one in Conversation.objects.filter(source=source)}
        done = Recomputation.objects.latest("requested_at")
        assert ends == {datetime(2027, 2, 20, 12, 32, tzinfo=UTC)}
        assert keks == {f"kek/{source.controller_id}/2027-02"}
        assert (done.total_count, done.done_count, done.changed_count) == (5, 5, 5)
        assert done.finished_at == NOW

    def test_goes_on_where_it_stopped(self, source, rule):
        for _ in range(3):
            make_conversation(source)
        request_recomputation(controller=source.controller, now=NOW)

        recompute_next(now=NOW, keyring=None, batch_size=2)
        half = Recomputation.objects.latest("requested_at")
        recompute_next(now=NOW, keyring=None, batch_size=2)

        whole = Recomputation.objects.latest("requested_at")
        assert (half.done_count, half.finished_at) == (2, None)
        assert whole.done_count == 3
        assert not Conversation.objects.uncovered().filter(source=source).exists()

    def test_leaves_what_is_withdrawn_alone(self, source, rule):
        conversation = make_conversation(source)
        Conversation.objects.filter(pk=conversation.pk).update(state="withdrawn", withdrawn_at=NOW)
        request_recomputation(controller=source.controller, now=NOW)

        while recompute_next(now=NOW, keyring=None):
            pass

        assert not conversation.permitted_uses.exists()

    def test_a_lost_key_does_not_keep_the_old_end(self, source, rule, keyring):
        conversation = make_conversation(source, keyring=keyring)
        (keyring._directory / conversation.kek_name).unlink()
        request_recomputation(controller=source.controller, now=NOW)

        while recompute_next(now=NOW, keyring=keyring):
            pass

        conversation.refresh_from_db()
        assert conversation.destroy_after is not None

    def test_a_newer_change_replaces_the_pass_under_way(self, vakka):
        first = request_recomputation(controller=vakka, now=NOW)

        second = request_recomputation(controller=vakka, now=NOW)

        first.refresh_from_db()
        assert first.replaced_at == NOW
        assert list(Recomputation.objects.open().filter(controller=vakka)) == [second]


class TestExclusions:
    def test_closes_what_it_matches_and_says_so(self, source, vakka, rule, coaching, officer):
        create_rule(
            controller=vakka,
            purpose=coaching,
            name="Never the whistle-blowers",
            draft=draft(months=0, legal_basis="", is_exclusion=True, tags=("whistle",)),
            user=officer,
            now=NOW - timedelta(days=1),
        )
        out, other = make_conversation(source, tags=["whistle"]), make_conversation(source)

        for conversation in (out, other):
            cover(conversation=conversation, now=NOW)

        assert Conversation.objects.uncovered().get() == out
        assert other.permitted_uses.exists()
        covered = Event.objects.get(conversation=out.pk)
        assert '"reason":"excluded"' in covered.body


class TestLengthening:
    """Olga makes six months twelve after the call was captured."""

    def carried_through(self, rule, officer, **says) -> None:
        change_rule(
            rule=rule.rule, draft=draft(months=12, **says), based_on=1, user=officer, now=LATER
        )
        while recompute_next(now=LATER, keyring=None):
            pass

    @pytest.fixture
    def conversation(self, source, rule):
        conversation = make_conversation(source, notice="2026-01")
        cover(conversation=conversation, now=NOW)
        return conversation

    def end_of(self, conversation) -> str:
        conversation.refresh_from_db()
        return f"{conversation.destroy_after:%Y-%m}"

    def test_the_earlier_end_stays_and_a_new_call_gets_the_later(
        self, conversation, source, rule, officer
    ):
        self.carried_through(rule, officer)
        newer = make_conversation(source, captured_at=LATER)
        cover(conversation=newer, now=LATER)

        assert (self.end_of(conversation), self.end_of(newer)) == ("2027-05", "2027-11")

    def test_a_statute_lengthens(self, conversation, rule, officer):
        self.carried_through(rule, officer, statute="Act 1/2020, section 2")

        assert self.end_of(conversation) == "2027-11"

    def test_the_notice_it_was_captured_under_lengthens_as_far_as_it_states(
        self, conversation, rule, officer, vakka, coaching
    ):
        self.carried_through(rule, officer)
        told: dict[str, Any] = {
            "controller": vakka,
            "in_force_from": NOW,
            "user": officer,
            "now": LATER,
        }

        for version, months, expected in [
            ("2026-02", 12, "2027-05"),  # another notice
            ("2026-01", 12, "2027-11"),
        ]:
            record_notice(version=version, months={coaching: months}, **told)
            while recompute_next(now=LATER, keyring=None):
                pass
            assert self.end_of(conversation) == expected

    def test_a_notice_is_recorded_once_by_a_compliance_officer(self, vakka, coaching, officer):
        told: dict[str, Any] = {
            "controller": vakka,
            "in_force_from": NOW,
            "now": NOW,
            "version": "2026-01",
        }
        outsider = make_user("Charlie", Role.COACH, vakka)

        with pytest.raises(NotEntitled):
            record_notice(months={coaching: 6}, user=outsider, **told)
        with pytest.raises(RuleRefused):
            record_notice(months={coaching: 0}, user=officer, **told)
        record_notice(months={coaching: 6}, user=officer, **told)
        with pytest.raises(RuleRefused):
            record_notice(months={coaching: 60}, user=officer, **told)

        event = Event.objects.get(event_type="privacy_notice.recorded")
        assert NoticedTime.objects.get().months == 6
        assert '"changed":["coaching:6"]' in event.body


class TestWhatGoes:
    """Nothing that is taken away makes a conversation permanent, or lost from sight."""

    def test_a_team_or_queue_of_conversations_cannot_be_deleted(self, source, claims, rule, vakka):
        queue = make_queue(vakka)
        make_conversation(source, stretches=[(claims, queue)])

        for row in (claims, queue):
            with pytest.raises(ProtectedError):
                row.delete()

    def test_a_rule_whose_team_is_gone_leaves_the_rest_in_sight(
        self, source, vakka, coaching, officer
    ):
        gone = make_team(vakka, "Gone")
        version = create_rule(
            controller=vakka,
            purpose=coaching,
            name="Gone",
            draft=draft(teams=[gone.pk]),
            user=officer,
            now=NOW - timedelta(days=1),
        )
        gone.delete()
        conversation = make_conversation(source, stretches=[(make_team(vakka, "New"), None)])

        cover(conversation=conversation, now=NOW)

        assert list(uncovered(controllers=[vakka])) == [conversation]
        with translation.override("en"):
            assert applies_to(version, names=names_of([version])) == "teams: unknown"

    def test_an_agent_who_leaves_or_is_deleted_changes_no_end(self, source, claims, rule):
        agent = make_user("Anna Agentti")
        conversation = make_conversation(source, stretches=[(claims, None)])
        party = Party.objects.create(
            conversation=conversation, position=0, role="agent", user=agent
        )
        conversation.segments.update(agent=party)
        cover(conversation=conversation, now=NOW)
        end = conversation.destroy_after

        agent.is_active = False
        agent.save()
        agent.delete()
        request_recomputation(controller=source.controller, now=NOW)
        while recompute_next(now=NOW, keyring=None):
            pass

        conversation.refresh_from_db()
        assert (conversation.destroy_after, conversation.permitted_uses.count()) == (end, 1)
        assert Conversation.objects.due(at=end).get() == conversation

    def test_a_retired_rule_leaves_what_it_kept_uncovered_and_never_without_an_answer(
        self, source, rule, officer, vakka
    ):
        conversation = make_conversation(source)
        cover(conversation=conversation, now=NOW)
        retire_rule(rule=rule.rule, based_on=1, user=officer, now=NOW)

        while recompute_next(now=NOW, keyring=None):
            pass

        assert list(uncovered(controllers=[vakka])) == [conversation]
