"""A token signs in place of a file, and the two hand over to each other; SoftHSM is the token."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from audit import clock, proofs, trees, verify
from audit.events import EventType
from audit.operations.sealing import Sealer, introduce_key
from audit.sealing_keys import SealingKeys, SealingKeysUnavailable
from audit.sealing_token import TokenAddress, TokenKeys
from audit.verification.checking import verify_log
from tests.audit.given import events, happened, signed_in
from tests.harness.commands import manage

LOG = "installation"


@pytest.fixture(scope="module")
def softhsm(tmp_path_factory):
    """One token for all: a process loads the library once."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    (folder / "pin").write_text("1234\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")
    tool = shutil.which("softhsm2-util")
    assert tool, "SoftHSM is missing: make packages"
    subprocess.run(
        f"{tool} --init-token --free --label seal --so-pin 12345678 --pin 1234".split(),
        check=True,
        capture_output=True,
    )
    (library,) = {path.resolve() for path in Path("/usr/lib").glob("**/libsofthsm2.so")}
    yield f"pkcs11:token=seal?module-path={library}&pin-source=file:{folder}/pin"
    del os.environ["SOFTHSM2_CONF"]


@pytest.fixture
def uri(softhsm):
    yield softhsm
    keys = TokenKeys(TokenAddress.parse(softhsm))
    with keys._opened() as session:
        for one in list(session.get_objects()):
            one.destroy()
    keys.close()


@pytest.fixture
def token(uri):
    """Give the keys of the token; a process is logged in once."""
    made = TokenKeys(TokenAddress.parse(uri))
    yield made
    made.close()


def seal(keys):
    happened(signed_in())
    introduce_key(keys=keys, now=clock.now())
    Sealer(keys).seal(log=LOG, now=clock.now())
    return trees.newest_checkpoint(log=LOG)


@pytest.mark.django_db
class TestToken:
    def test_makes_its_key_and_signs_with_it(self, token):
        head = seal(token)

        (trusted,) = proofs.public_keys(log=LOG)
        assert verify.open_note(head.note, [trusted]).size == 2

    def test_signs_with_the_same_key_ever_after(self, token):
        seal(token)
        seal(token)
        token.close()
        head = seal(token)

        (trusted,) = proofs.public_keys(log=LOG)
        assert verify.open_note(head.note, [trusted]).size == 4

    def test_does_not_give_its_key_away(self, token):
        from pkcs11 import Attribute

        key = token.create(now=clock.now()).private

        assert (key[Attribute.EXTRACTABLE], key[Attribute.SENSITIVE]) == (False, True)

    def test_takes_over_from_a_folder_by_a_head_that_both_sign(self, uri, tmp_path):
        folder = SealingKeys(tmp_path / "seal-keys")
        seal(folder)
        (old,) = proofs.public_keys(log=LOG)
        keys = TokenKeys(TokenAddress.parse(uri), before=folder)
        keys.create(now=clock.now())

        head = seal(keys)
        last = seal(keys)
        keys.close()

        new = proofs.public_keys(log=LOG)[-1]
        assert verify.open_note(head.note, [old]) == verify.open_note(head.note, [new])
        assert verify.open_note(last.note, [new]).size == 5
        with pytest.raises(verify.Incomplete):
            verify.open_note(last.note, [old])
        assert events(EventType.SEALING_KEY_INTRODUCED).count() == 2
        verdict = verify_log(log=LOG, now=clock.now(), reader=None)
        assert (verdict.faults, len(verdict.keys)) == ([], 2)
        assert verdict.notes == ["The anchored heads were not compared."]

    def test_hands_over_to_its_own_next_key(self, token):
        seal(token)
        token.create(now=clock.now().replace(year=2099))

        head = seal(token)

        old, new = proofs.public_keys(log=LOG)
        assert verify.open_note(head.note, [old]) == verify.open_note(head.note, [new])

    def test_that_is_empty_is_no_reason_for_a_new_key(self, token, tmp_path):
        seal(SealingKeys(tmp_path / "seal-keys"))

        with pytest.raises(SealingKeysUnavailable):
            seal(token)


class TestUnavailable:
    def test_a_wrong_pin(self, uri, tmp_path):
        (tmp_path / "pin").write_text("4321")
        wrong = uri.partition("&pin-source")[0] + f"&pin-source={tmp_path}/pin"

        with pytest.raises(SealingKeysUnavailable, match="PinIncorrect"):
            TokenKeys(TokenAddress.parse(wrong)).current()

    @pytest.mark.parametrize(
        ("part", "other"),
        [
            ("token=seal", "token=none"),
            ("pin-source=file:", "pin-source=file:/none"),
            ("module-path=", "module-path=/none"),
        ],
    )
    def test_a_token_a_pin_a_library_that_is_not_there(self, uri, part, other):
        with pytest.raises(SealingKeysUnavailable):
            TokenKeys(TokenAddress.parse(uri.replace(part, other))).current()

    @pytest.mark.parametrize(
        "uri", ["", "pkcs11:token=a", "file:/a", "pkcs11:token=a?module-path=b&pin-value=1"]
    )
    def test_an_address_that_is_none(self, uri):
        with pytest.raises(ImproperlyConfigured):
            TokenAddress.parse(uri)


@pytest.mark.django_db
class TestCommand:
    def test_makes_a_key_that_the_sealer_then_introduces(self, stage):
        made = manage(stage, "seal_audit", "--new-key", role="seal")
        done = manage(stage, "seal_audit", "--once", role="seal")

        assert (made.code, done.code) == (0, 0), made.printed + done.printed
        (introduced,) = events(EventType.SEALING_KEY_INTRODUCED)
        assert introduced.body.split('"key":"')[1][:64] in made.out
