"""A draft comes back from a proposal's JSON as it went in."""

from __future__ import annotations

import json
from dataclasses import fields
from uuid import uuid4

from django.core.serializers.json import DjangoJSONEncoder

from retention.drafts import Draft, draft_of_terms, fields_of

FULL = Draft(
    keep_months=3,
    keep_days=4,
    legal_basis="6.1.b",
    kinds=("call",),
    teams=(uuid4(), uuid4()),
    queues=(uuid4(),),
    directions=("inbound",),
    outcomes=("sale",),
    languages=("sv",),
    tags=("complaint",),
    shortest_seconds=10,
    longest_seconds=600,
    trigger="claim.closed",
    cap_months=60,
    statute="543/1994",
    article_9_condition="1050/2018",
)


def test_every_field_comes_back_as_it_was():
    terms = json.loads(json.dumps(fields_of(FULL), cls=DjangoJSONEncoder))

    assert draft_of_terms(terms) == FULL
    assert {field.name for field in fields(Draft)} - {"is_exclusion"} == {
        field.name for field in fields(Draft) if getattr(FULL, field.name)
    }
