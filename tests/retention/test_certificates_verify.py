"""The offline verifier finds whatever is altered in a certificate, and names the line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import canonical, verify
from audit.notes import VerifierKey
from config.servers import Servers
from recordings.keyring import FileKeyring
from tests.factories import Centre
from tests.harness.databases import Clones
from tests.harness.roles import Stage
from tests.retention.certified import certify, destroy, file_of, keys_of

FLIPS = 150
SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "certificates"


class Given:
    """A certificate's file, what it says, and the keys to check it with."""

    def __init__(self, data: bytes, keys: list[str]) -> None:
        self.data, self.keys = data, keys
        self.said: dict[str, Any] = json.loads(data)

    def check(self, said: dict[str, Any]) -> verify.Certificate:
        """Check what was made of it, written as such files are."""
        return verify.check_certificate(f"{canonical.dumps(said)}\n".encode(), self.keys)


@pytest.fixture(scope="module")
def given(
    servers: Servers,
    furnished: tuple[Centre, Clones],
    tmp_path_factory: pytest.TempPathFactory,
) -> Given:
    """The certificate of a call and two chats; checking it needs no servers, so it is made once."""
    original, clones = furnished
    keys = tmp_path_factory.mktemp("certified") / "keyring"
    FileKeyring.prepare(keys)
    stage = Stage(servers, clones.take(), keys)
    with stage.opened():
        centre = copy.deepcopy(original, {id(original.stage): stage})
        destroy(centre, centre.call(), centre.chat(), centre.chat())
        (certificate,) = certify(stage)
        made = Given(file_of(certificate), keys_of(certificate))
    clones.give_back(stage.database)
    return made


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where a value has members that have none."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, member in members:
        if isinstance(member, dict | list) and member:
            yield from places(member, (*path, name))
        else:
            yield (*path, name)


def holder(value: Any, path: tuple[str | int, ...]) -> Any:
    """What holds the member at the end of the path."""
    for name in path[:-1]:
        value = value[name]
    return value


def other(value: Any) -> list[Any]:
    """What could stand there instead, of the same form and of others."""
    if isinstance(value, int):
        return [value + 1, 0 if value else 2, str(value), None]
    if isinstance(value, str):
        moved = "".join(chr(ord(one) ^ 1) if one.isdigit() else one for one in value)
        return [moved if moved != value else f"{value}x", "", 1, None]
    return ["0" * 64, [1]]


class TestCheckCertificate:
    def test_is_intact_as_it_was_given_out(self, given, tmp_path, capsys):
        path, keys = tmp_path / "certificate.json", tmp_path / "keys.txt"
        path.write_bytes(given.data)
        keys.write_text("\n".join(given.keys))

        assert verify.main([str(path), "--key", str(keys)]) == verify.INTACT
        assert "3 conversations destroyed" in capsys.readouterr().out

    def test_one_of_the_first_version_is_intact_still(self, tmp_path, capsys):
        path = SAMPLES / "version-1.json"

        keys = str(SAMPLES / "version-1.keys")
        assert verify.main([str(path), "--key", keys]) == verify.INTACT
        said = json.loads(path.read_bytes())
        assert said["certificate"]["v"] == 1
        # It is not made one of the second by saying so.
        said["certificate"]["v"] = 2
        newer = tmp_path / "certificate.json"
        newer.write_bytes(f"{canonical.dumps(said)}\n".encode())
        assert verify.main([str(newer), "--key", keys]) == verify.TAMPERED

    def test_says_when_the_last_copy_of_each_key_lapses(self, given):
        for line in given.said["certificate"]["lines"]:
            at, until = (
                datetime.fromisoformat(line[name])
                for name in ("key_destroyed_at", "last_copy_lapses_at")
            )
            assert until - at == timedelta(days=35 + 30)

    def test_every_altered_field_is_found(self, given):
        for path in places(given.said):
            for value in other(holder(given.said, path)[path[-1]]):
                altered = copy.deepcopy(given.said)
                holder(altered, path)[path[-1]] = value
                with pytest.raises((verify.Tampered, verify.Incomplete)):
                    given.check(altered)
                    pytest.fail(f"{path}: {value!r} is not found")

    def test_every_field_more_or_less_is_found(self, given):
        for path in places(given.said):
            for change in ("more", "less"):
                altered = copy.deepcopy(given.said)
                inside = holder(altered, path)
                if change == "less":
                    del inside[path[-1]]
                elif isinstance(inside, dict):
                    inside["remark"] = "by nobody"
                else:
                    inside.append(inside[-1])
                with pytest.raises((verify.Tampered, verify.Incomplete)):
                    given.check(altered)
                    pytest.fail(f"{path[:-1]}: {change} is not found")

    def test_a_flipped_bit_anywhere_is_found(self, given):
        chance = random.Random(11)
        for place in chance.sample(range(len(given.data)), FLIPS):
            altered = bytearray(given.data)
            altered[place] ^= 1 << chance.randrange(8)
            with pytest.raises((verify.Tampered, verify.Incomplete)):
                verify.check_certificate(bytes(altered), given.keys)
                pytest.fail(f"the flip at {place} is not found")

    def test_names_each_line_that_is_wrong(self, given):
        altered = copy.deepcopy(given.said)
        for number in (0, 2):
            altered["certificate"]["lines"][number]["objects"][0]["sha256"] = "0" * 64

        with pytest.raises(verify.Tampered) as found:
            given.check(altered)

        names = [line["conversation"] for line in given.said["certificate"]["lines"]]
        assert str(found.value).splitlines() == [
            f"Line {number + 1} (conversation {names[number]}): "
            "it is not the line that was certified."
            for number in (0, 2)
        ]

    def test_a_line_left_out_is_found_though_all_is_counted_anew(self, given):
        altered = copy.deepcopy(given.said)
        gone = altered["certificate"]["lines"].pop(1)
        altered["certificate"]["counts"]["destroyed"] -= 1
        altered["certificate"]["counts"]["object_versions"] -= len(gone["objects"])

        with pytest.raises(verify.Tampered):
            given.check(altered)

    def test_who_trusts_another_key_is_told_nothing(self, given, tmp_path):
        path = tmp_path / "certificate.json"
        path.write_bytes(given.data)
        key = Ed25519PrivateKey.generate()
        stranger = str(VerifierKey.of(key, name="example.org/log"))

        assert verify.main([str(path), "--key", stranger]) == verify.INCOMPLETE

    def test_what_is_no_certificate_is_no_crash(self, given, tmp_path):
        path = tmp_path / "certificate.json"
        hollow = '{"certificate":{"lines":[1]}}'
        for text in ("", "[]", "{}", '{"certificate":1,"seal":[]}', hollow):
            path.write_text(text)
            assert verify.main([str(path), "--key", given.keys[0]]) != verify.INTACT
