"""The verifier is one file, and takes what was signed and not a letter else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import verify
from audit.merkle import Frontier, Tree, leaf_hash
from audit.notes import Checkpoint, VerifierKey, tlog_proof
from tests.audit.test_merkle import InMemory

ORIGIN = "example.com/tallenne/installation"
SOURCE = Path(verify.__file__)


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def proof(key):
    bodies = [f'{{"number":{number}}}'.encode() for number in range(7)]
    leaves = [leaf_hash(body) for body in bodies]
    frontier = Frontier()
    frontier.extend(leaves)
    note = Checkpoint(ORIGIN, 7, frontier.root()).signed(key)
    path = Tree(InMemory(leaves), 7).inclusion_proof(4)
    return tlog_proof(index=4, path=path, note=note, extra=bodies[4])


def line_of(key, name=ORIGIN):
    return str(VerifierKey.of(key, name=name))


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-I", str(SOURCE), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


class TestFile:
    def test_imports_the_standard_library_and_cryptography_alone(self):
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(SOURCE.read_text()))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }

        assert imported - set(sys.stdlib_module_names) == {"cryptography"}

    def test_is_written_for_python_3_9(self):
        ast.parse(SOURCE.read_text(), feature_version=(3, 9))


class TestOpenNote:
    def test_gives_the_checkpoint_that_a_trusted_key_signed(self, key):
        note = Checkpoint(ORIGIN, 5, bytes(32)).signed(key)

        assert verify.open_note(note, [line_of(key)]) == (ORIGIN, 5, bytes(32))

    def test_of_nobody_trusted_tells_nothing(self, key):
        note = Checkpoint(ORIGIN, 5, bytes(32)).signed(Ed25519PrivateKey.generate())

        with pytest.raises(verify.Incomplete):
            verify.open_note(note, [line_of(key)])

    def test_ignores_signatures_of_others_beside(self, key):
        other = Ed25519PrivateKey.generate()
        note = Checkpoint(ORIGIN, 5, bytes(32)).signed(other, key)

        assert verify.open_note(note, [line_of(key)]).size == 5

    def test_knows_a_key_by_name_and_id_both(self, key):
        note = Checkpoint(ORIGIN, 5, bytes(32)).signed(key)

        with pytest.raises(verify.Incomplete):
            verify.open_note(note, [line_of(key, name="example.com/other")])

    def test_takes_no_key_that_does_not_fit_its_name(self, key):
        with pytest.raises(verify.Incomplete):
            verify.open_note(
                Checkpoint(ORIGIN, 5, bytes(32)).signed(key),
                [line_of(key).replace("installation", "elsewhere")],
            )

    @pytest.mark.parametrize("size", ["05", "-1", "5 ", "x", "", "٥", str(2**63)])
    def test_refuses_a_size_that_is_no_number(self, key, size):
        text = f"{ORIGIN}\n{size}\n{'A' * 43}=\n\n— x AAAAAAAA\n"

        with pytest.raises(verify.Tampered):
            verify.parse_checkpoint(text)


class TestProof:
    def test_of_an_event_is_checked_by_the_file_alone(self, tmp_path, key, proof):
        path = tmp_path / "event.tlog-proof"
        path.write_text(proof)

        code, printed = run(str(path), "--key", line_of(key))

        assert code == 0
        assert "INTACT: event 4 of 7" in printed
        assert '{"number":4}' in printed

    def test_any_flipped_bit_is_found(self, key, proof):
        data = proof.encode()
        keys = [line_of(key)]
        for place in range(len(data)):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 7
            try:
                text = changed.decode()
            except UnicodeDecodeError:
                continue
            with pytest.raises((verify.Tampered, verify.Incomplete)):
                verify.check_proof(text, keys)

    def test_without_the_key_is_incomplete(self, tmp_path, proof):
        path = tmp_path / "event.tlog-proof"
        path.write_text(proof)

        code, printed = run(str(path), "--key", line_of(Ed25519PrivateKey.generate()))

        assert code == 2
        assert "No key that you trust" in printed

    @pytest.mark.parametrize("arguments", [[], ["nowhere", "--key", "x"], ["--no-such-option"]])
    def test_wrong_use_is_told_from_tampering(self, arguments):
        assert run(*arguments)[0] == 3
