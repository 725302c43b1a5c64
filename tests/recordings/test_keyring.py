"""The file keyring: keys are made once, found by everyone, and gone when destroyed."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

from recordings.keyring import (
    QUARANTINE,
    FileKeyring,
    KeyDoesNotFit,
    KeyMissing,
    KeyringUnavailable,
    hash_key_name,
    kek_name,
)

ROOT = Path(__file__).resolve().parents[2]
CONTROLLER = UUID("0198f3a2-7a61-7c3e-9d2f-0123456789ab")
KEK = kek_name(controller_id=CONTROLLER, month="2027-03")
OPEN_KEK = kek_name(controller_id=CONTROLLER, month=None)
HASH = hash_key_name(controller_id=CONTROLLER)
CONTENT_KEY = bytes(range(32))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keyring"


@pytest.fixture
def keyring(directory: Path) -> FileKeyring:
    return FileKeyring.prepare(directory)


class TestNames:
    def test_say_what_the_key_is_for(self):
        assert f"kek/{CONTROLLER}/2027-03" == KEK
        assert f"kek/{CONTROLLER}/open" == OPEN_KEK
        assert f"hash/{CONTROLLER}" == HASH

    @pytest.mark.parametrize(
        "name",
        [
            *("", ".", "..", "/etc/passwd", "../quarantine", "quarantine/..", "quarantine\n"),
            *(f"kek/{CONTROLLER}/../open", f"kek/{CONTROLLER}/2027-13", f"kek/{CONTROLLER}/"),
            *(
                f"kek/{CONTROLLER}",
                "hash/x",
                f"hash/{CONTROLLER}/open",
                f"kek/{CONTROLLER}/٢٠٢٧-03",
            ),
            *(f"KEK/{CONTROLLER}/open", f"hash/{str(CONTROLLER).upper()}", "quarantine\0"),
        ],
    )
    def test_nothing_else_is_a_name(self, keyring, directory, name):
        for deed in (keyring.get, keyring.get_or_create, keyring.destroy, keyring.hasher):
            with pytest.raises(ValueError, match="no name of a key"):
                deed(name)
        assert list(directory.iterdir()) == []

    def test_a_month_that_is_none_is_refused(self):
        with pytest.raises(ValueError, match="no name of a key"):
            kek_name(controller_id=CONTROLLER, month="../../x")


class TestCreate:
    def test_makes_32_random_bytes_that_only_the_owner_reads(self, keyring, directory):
        key = keyring.get_or_create(KEK)

        assert len(key) == 32
        assert key not in (bytes(32), keyring.get_or_create(OPEN_KEK))
        assert stat.S_IMODE((directory / KEK).stat().st_mode) == 0o400
        for parent in (directory, directory / "kek", (directory / KEK).parent):
            assert stat.S_IMODE(parent.stat().st_mode) == 0o700

    def test_the_second_time_finds_the_first_key(self, keyring, directory):
        key = keyring.get_or_create(KEK)

        assert keyring.get_or_create(KEK) == key
        assert FileKeyring(directory).get(KEK) == key

    def test_leaves_nothing_but_the_key(self, keyring, directory):
        keyring.get_or_create(QUARANTINE)

        assert list(directory.iterdir()) == [directory / QUARANTINE]

    def test_many_processes_at_once_use_one_key(self, directory):
        FileKeyring.prepare(directory)
        program = (
            "import sys, pathlib; from recordings.keyring import FileKeyring\n"
            "sys.stdin.read()\n"
            f"print(FileKeyring(pathlib.Path(sys.argv[1])).get_or_create({KEK!r}).hex())"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )
            for _ in range(6)
        ]

        keys = {process.communicate()[0] for process in processes}

        assert len(keys) == 1
        assert bytes.fromhex(keys.pop().decode()) == FileKeyring(directory).get(KEK)

    def test_the_loser_of_a_race_takes_the_winners_key(self, keyring, directory, monkeypatch):
        link = os.link

        def another_was_faster(source, target):
            target.write_bytes(b"w" * 32)  # a file system that ignores locks
            link(source, target)

        monkeypatch.setattr(os, "link", another_was_faster)

        assert keyring.get_or_create(KEK) == b"w" * 32


class TestDestroy:
    def test_the_key_is_gone_and_its_bytes_were_overwritten(self, keyring, directory, tmp_path):
        keyring.get_or_create(KEK)
        os.link(directory / KEK, tmp_path / "kept by a thief")

        keyring.destroy(KEK)

        with pytest.raises(KeyMissing):
            keyring.get(KEK)
        assert (tmp_path / "kept by a thief").read_bytes() == bytes(32)

    def test_twice_is_harmless_and_others_stay(self, keyring):
        keyring.get_or_create(KEK)
        kept = keyring.get_or_create(OPEN_KEK)

        keyring.destroy(KEK)
        keyring.destroy(KEK)

        assert keyring.get(OPEN_KEK) == kept
        assert keyring.names() == [OPEN_KEK]

    def test_stopped_half_way_the_key_counts_as_missing(self, keyring, directory, monkeypatch):
        old = keyring.get_or_create(KEK)
        with monkeypatch.context() as killed:
            killed.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError()))
            with pytest.raises(KeyringUnavailable):
                keyring.destroy(KEK)

        with pytest.raises(KeyMissing):
            keyring.get(KEK)
        assert keyring.get_or_create(KEK) not in (old, bytes(32))

    def test_what_it_wrapped_cannot_be_opened_by_a_new_key(self, keyring):
        wrapped = keyring.wrap(kek_name=KEK, content_key=CONTENT_KEY, context=b"c")
        keyring.destroy(KEK)

        with pytest.raises(KeyMissing):
            keyring.unwrap(kek_name=KEK, wrapped_key=wrapped, context=b"c")
        keyring.get_or_create(KEK)
        with pytest.raises(KeyDoesNotFit):
            keyring.unwrap(kek_name=KEK, wrapped_key=wrapped, context=b"c")


class TestWrap:
    def test_gives_back_the_key_for_the_same_context_only(self, keyring):
        wrapped = keyring.wrap(kek_name=KEK, content_key=CONTENT_KEY, context=b"conversation 1")

        assert CONTENT_KEY not in wrapped
        assert (
            keyring.unwrap(kek_name=KEK, wrapped_key=wrapped, context=b"conversation 1")
            == CONTENT_KEY
        )
        with pytest.raises(KeyDoesNotFit):
            keyring.unwrap(kek_name=KEK, wrapped_key=wrapped, context=b"conversation 2")

    def test_another_kek_does_not_fit(self, keyring, directory):
        wrapped = keyring.wrap(kek_name=KEK, content_key=CONTENT_KEY, context=b"c")
        keyring.get_or_create(OPEN_KEK)

        with pytest.raises(KeyDoesNotFit):
            keyring.unwrap(kek_name=OPEN_KEK, wrapped_key=wrapped, context=b"c")

    def test_any_flipped_bit_or_cut_is_refused(self, keyring):
        wrapped = keyring.wrap(kek_name=KEK, content_key=CONTENT_KEY, context=b"c")

        for at in range(len(wrapped)):
            altered = bytearray(wrapped)
            altered[at] ^= 1
            for damaged in (bytes(altered), wrapped[:at]):
                with pytest.raises(KeyDoesNotFit):
                    keyring.unwrap(kek_name=KEK, wrapped_key=damaged, context=b"c")

    def test_two_wraps_differ(self, keyring):
        wraps = {keyring.wrap(kek_name=KEK, content_key=CONTENT_KEY, context=b"") for _ in range(9)}

        assert len(wraps) == 9


class TestKeyedHash:
    def test_is_hmac_sha256_of_the_chunks(self, keyring):
        expected = hmac.new(keyring.get_or_create(HASH), b"abc", hashlib.sha256).digest()

        assert keyring.keyed_hash(name=HASH, chunks=[b"a", b"", b"bc"]) == expected

    def test_controllers_differ(self, keyring):
        other = hash_key_name(controller_id=UUID(int=1))

        assert keyring.keyed_hash(name=HASH, chunks=[b"a"]) != keyring.keyed_hash(
            name=other, chunks=[b"a"]
        )


class TestFromSettings:
    def test_uses_the_directory_that_is_set(self, keyring, directory, monkeypatch):
        monkeypatch.setattr("django.conf.settings", SimpleNamespace(KEYRING_DIR=directory))

        assert FileKeyring.from_settings().get_or_create(KEK) == keyring.get(KEK)

    def test_a_process_without_a_keyring_has_none(self, monkeypatch):
        monkeypatch.setattr("django.conf.settings", SimpleNamespace(KEYRING_DIR=None))

        with pytest.raises(KeyringUnavailable, match="no keyring"):
            FileKeyring.from_settings()


class TestUnavailable:
    def test_a_directory_that_is_not_there_is_no_missing_key(self, tmp_path):
        keyring = FileKeyring(tmp_path / "not mounted")

        for deed in (keyring.get, keyring.get_or_create, keyring.destroy):
            with pytest.raises(KeyringUnavailable):
                deed(KEK)
        assert not (tmp_path / "not mounted").exists()

    def test_a_directory_that_others_enter_is_refused(self, keyring, directory):
        keyring.get_or_create(KEK)
        directory.chmod(0o750)

        with pytest.raises(KeyringUnavailable, match="only its owner"):
            keyring.get(KEK)

    def test_a_damaged_key_is_no_key_and_is_not_replaced(self, keyring, directory):
        keyring.get_or_create(QUARANTINE)
        (directory / QUARANTINE).chmod(0o600)
        (directory / QUARANTINE).write_bytes(b"short")

        for deed in (keyring.get, keyring.get_or_create):
            with pytest.raises(KeyringUnavailable, match="damaged"):
                deed(QUARANTINE)
        assert (directory / QUARANTINE).read_bytes() == b"short"

    def test_a_link_is_not_followed(self, keyring, directory, tmp_path):
        (tmp_path / "elsewhere").write_bytes(b"k" * 32)
        (directory / QUARANTINE).symlink_to(tmp_path / "elsewhere")

        with pytest.raises(KeyringUnavailable):
            keyring.get(QUARANTINE)
        with pytest.raises(KeyringUnavailable):
            keyring.destroy(QUARANTINE)
        assert (tmp_path / "elsewhere").read_bytes() == b"k" * 32

    def test_a_full_disk_is_unavailable(self, keyring, monkeypatch):
        def full(_descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(KeyringUnavailable):
            keyring.get_or_create(KEK)
