"""What an event may say: the registry's facts, and nothing that could be personal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from audit import bodies
from audit.events import Actor, EventRefused, EventType, Outcome, Target
from audit.fact_forms import FactKind
from audit.registry import FACTS, REGISTRY
from tests.audit.given import new, played, signed_in

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class TestRegistry:
    def test_knows_every_type_and_every_fact(self):
        assert set(REGISTRY) == set(EventType)
        used = set().union(*(rule.facts for rule in REGISTRY.values()))
        assert used | {"conversation", "subject_unknown"} == set(FACTS)

    @pytest.mark.parametrize(
        "facts",
        [
            {"unheard_of": 1},
            {"play": "Matti Meikäläinen"},
            {"first_byte": 1.5},
            {"first_byte": -1},
            {"first_byte": True},
            {"first_byte": "0"},
            {"destroyed": 1},
        ],
    )
    def test_refuses_facts_that_the_type_does_not_have(self, facts):
        with pytest.raises(EventRefused):
            bodies.write(new(played(now=NOW, facts=facts)))

    @pytest.mark.parametrize(
        "text",
        [
            "Matti",
            "matti meikäläinen",
            "matti@example.com",
            "+358401234567",
            "0401234567",
            "puh.0401234567",
            "010190-123a",
            "asiakas:010190-123a",
            "a" * 161,
            "",
            "koodi\n",
        ],
    )
    def test_refuses_what_could_be_personal_wherever_a_code_is_expected(self, text):
        refused = played(now=NOW, event_type=EventType.PLAYBACK_REFUSED)

        with pytest.raises(EventRefused):
            bodies.write(new({**refused, "facts": {"reason": text}}))
        with pytest.raises(EventRefused):
            bodies.write(new({**refused, "basis": text}))
        with pytest.raises(EventRefused):
            bodies.write(new({**refused, "purpose": text}))
        with pytest.raises(EventRefused):
            Target("dialog", text)
        with pytest.raises(EventRefused):
            Actor("user", text)
        with pytest.raises(EventRefused):
            Actor("system", f"system:{text}")

    def test_refuses_a_telephone_number_as_a_count(self):
        with pytest.raises(EventRefused):
            bodies.write(
                new(
                    signed_in(
                        now=NOW, event_type=EventType.AUDIT_LISTED, facts={"count": 358401234567}
                    )
                )
            )

    @pytest.mark.parametrize("missing", ["purpose", "basis", "conversation"])
    def test_refuses_listening_that_does_not_say_what_it_must(self, missing):
        with pytest.raises(EventRefused):
            bodies.write(new(played(now=NOW, **{missing: None})))

    def test_refuses_an_outcome_that_the_type_cannot_have(self):
        with pytest.raises(EventRefused):
            bodies.write(new(played(now=NOW, outcome=Outcome.DENY)))

    def test_refuses_a_time_without_a_zone(self):
        with pytest.raises(EventRefused):
            bodies.write(new(played(now=datetime(2026, 1, 1))))  # noqa: DTZ001

    def test_has_no_kind_of_fact_that_holds_free_text(self):
        assert {kind.value for kind in FactKind} == {
            "uuid", "uuids", "code", "codes", "count", "bytes", "flag", "instant", "digest",
        }  # fmt: skip
