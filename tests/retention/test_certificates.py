"""A certificate says of each conversation how it was destroyed, and the log vouches for it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from audit import clock, verify
from retention.models import Certificate
from tests.factories import Centre
from tests.retention.certified import certify, file_of, keys_of, run_purge


@pytest.fixture
def done(centre: Centre) -> Certificate:
    """The certificate of a run that destroyed two calls and a chat."""
    for one in (centre.call(), centre.call(), centre.chat()):
        centre.end(one, at=clock.now() - timedelta(minutes=1))
    run_purge(centre.stage)
    (made,) = certify(centre.stage)
    return made


class TestIssue:
    def test_works(self, done):
        data = file_of(done)
        found = verify.check_certificate(data, keys_of(done))
        print(json.dumps(json.loads(data), indent=1))
        assert found.said["counts"] == {}
