"""Checks the audit log's proofs without our software or our server: this file, and `cryptography`.

    python verify.py event.tlog-proof --key public-keys.txt

Needs Python 3.9 or newer. Exit code 0: intact; 1: tampered; 2: incomplete, or not to be
verified; 3: wrong use.

Sources: RFC 9162, section 2.1; C2SP signed-note, tlog-checkpoint and tlog-proof.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # pragma: no cover
    sys.exit("This program needs the Python package `cryptography`: pip install cryptography")

INTACT, TAMPERED, INCOMPLETE, WRONG_USE = 0, 1, 2, 3
EMPTY_ROOT = hashlib.sha256(b"").digest()
HASH_BYTES = 32
LARGEST_SIZE = 2**63 - 1
MOST_SIGNATURES = 64
PROOF_HEAD = "c2sp.org/tlog-proof@v1"


class Tampered(Exception):
    """What was checked is not what was signed; the sentence says where."""


class Incomplete(Exception):
    """It cannot be told: something that is needed is missing or unknown."""


class Checkpoint(NamedTuple):
    """The head of a log: whose it is, how many events its tree has, and the tree's root."""

    origin: str
    size: int
    root: bytes


class Proof(NamedTuple):
    """A tlog-proof, taken apart."""

    leaf_index: int
    path: list[bytes]
    note: str
    extra: bytes


# --- The tree (RFC 9162, section 2.1) ------------------------------------------------------------


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry to its leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two neighbours to the node above them."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf stands at an index of the tree (2.1.3.2). Raises Tampered."""
    if not 0 <= index < size:
        raise Tampered("The proof is for an event that the tree does not have.")
    if len(leaf) != HASH_BYTES or len(root) != HASH_BYTES:
        raise Tampered("A leaf or a root is no hash.")
    node, last, reckoned = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise Tampered("The proof of inclusion is longer than its tree is high.")
        if node & 1 or node == last:
            reckoned = node_hash(step, reckoned)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            reckoned = node_hash(reckoned, step)
        node >>= 1
        last >>= 1
    if last != 0:
        raise Tampered("The proof of inclusion is shorter than its tree is high.")
    if reckoned != root:
        raise Tampered("The event is not the one that was sealed at that place of the log.")


def check_consistency(
    earlier: int, later: int, proof: Sequence[bytes], earlier_root: bytes, later_root: bytes
) -> None:
    """Check that a tree goes on from an earlier one (2.1.4.2). Raises Tampered."""
    if not 0 <= earlier <= later:
        raise Tampered("The later head has fewer events than the earlier.")
    if earlier == later or earlier == 0:
        if proof:
            raise Tampered("The proof of consistency says more than there is to prove.")
        if earlier == later and earlier_root != later_root:
            raise Tampered("Two heads of one size differ: the log was forked.")
        if earlier == 0 and earlier_root != EMPTY_ROOT:
            raise Tampered("The head of an empty log is not that of an empty tree.")
        return
    steps = list(proof)
    if earlier & (earlier - 1) == 0:
        steps.insert(0, earlier_root)
    if not steps:
        raise Tampered("The proof of consistency is empty.")
    node, last = earlier - 1, later - 1
    while node & 1:
        node >>= 1
        last >>= 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise Tampered("The proof of consistency is longer than its tree is high.")
        if node & 1 or node == last:
            old = node_hash(step, old)
            new = node_hash(step, new)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            new = node_hash(new, step)
        node >>= 1
        last >>= 1
    if last != 0:
        raise Tampered("The proof of consistency is shorter than its tree is high.")
    if old != earlier_root or new != later_root:
        raise Tampered("The later log does not continue the earlier one.")


def root_beside(
    size: int,
    shown: Iterable[tuple[int, int]],
    leaves: Iterable[bytes],
    remainder: Iterable[bytes],
) -> bytes:
    """
    Reckon the root of a tree of which some leaves are shown, and the rest is given by subtrees.

    `shown` are half-open ranges, in order and apart; `leaves` are the hashes of all their leaves,
    and `remainder` those of the largest subtrees without any, both from left to right.

    Raises Tampered if there are too few or too many of them.
    """
    if size == 0:
        return EMPTY_ROOT
    ranges = iter([*shown, (size, size + 1)])
    following = next(ranges)
    of_leaves, of_rest = iter(leaves), iter(remainder)

    def reckon(first: int, last: int) -> bytes:
        nonlocal following
        while following[1] <= first:
            following = next(ranges)
        if last <= following[0]:
            return next(of_rest)
        if last - first == 1:
            return next(of_leaves)
        middle = first + (1 << ((last - first - 1).bit_length() - 1))
        left = reckon(first, middle)
        return node_hash(left, reckon(middle, last))

    nothing = b""
    try:
        root = reckon(0, size)
    except (StopIteration, RuntimeError):
        raise Tampered("The proof has too few hashes for the events it is about.") from None
    if next(of_leaves, nothing) or next(of_rest, nothing):
        raise Tampered("The proof has more hashes than the events it is about need.")
    return root


# --- Signed notes (C2SP) -------------------------------------------------------------------------


def decode(text: str) -> bytes:
    """
    Read base64 in its one canonical form. Raises Tampered.

    A last letter whose spare bits are set would read as the same bytes: it is refused.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Tampered("Something that should be base64 is not.") from None
    if base64.b64encode(data).decode() != text:
        raise Tampered("Something is not written in the canonical form of base64.")
    return data


def parse_checkpoint(note: str) -> Checkpoint:
    """Read a note's text as a checkpoint, whoever signed it. Raises Tampered."""
    text, separator, _signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not separator or len(lines) < 3 or not all(lines):
        raise Tampered("A checkpoint is not written as one.")
    origin, size, root = lines[:3]
    is_number = size.isascii() and size.isdigit() and (size == "0" or size[0] != "0")
    if not is_number or int(size) > LARGEST_SIZE:
        raise Tampered("A checkpoint's size is no number.")
    decoded = decode(root)
    if len(decoded) != HASH_BYTES:
        raise Tampered("A checkpoint's root is no hash.")
    return Checkpoint(origin, int(size), decoded)


def open_note(note: str, keys: Sequence[str]) -> Checkpoint:
    """
    Read a signed checkpoint, if one of the keys (lines name+hash+key) has signed it.

    Raises:
        Tampered: a known key's signature is wrong, or something is not written as it must be.
        Incomplete: no known key has signed it.
    """
    if any(ord(letter) < 0x20 and letter != "\n" for letter in note):
        raise Tampered("A checkpoint holds control characters.")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Tampered("A checkpoint has no signature.")
    known = dict(_verifier(line) for line in keys)
    lines = signatures[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise Tampered("A checkpoint has more signatures than are read.")
    is_signed = False
    for line in lines:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        signature = decode(encoded)
        if dash != "—" or not _is_name(name) or len(signature) <= 4:
            raise Tampered("A signature is not written as one.")
        key = known.get((name, signature[:4]))
        if key is None:
            continue
        try:
            key.verify(signature[4:], (text + "\n").encode())
        except InvalidSignature:
            raise Tampered("A checkpoint's signature is wrong.") from None
        is_signed = True
    if not is_signed:
        raise Incomplete("No key that you trust has signed the checkpoint.")
    return parse_checkpoint(note)


def _verifier(line: str) -> tuple[tuple[str, bytes], Ed25519PublicKey]:
    name, _, rest = line.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        key = base64.b64decode(encoded, validate=True)
        given_id = bytes.fromhex(key_id)
        public = Ed25519PublicKey.from_public_bytes(key[1:])
    except ValueError:
        raise Incomplete("A public key is not written as name+hash+key.") from None
    right_id = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    if not _is_name(name) or key[:1] != b"\x01" or given_id != right_id:
        raise Incomplete("A public key does not fit its name.")
    return (name, given_id), public


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


# --- A single event's proof ----------------------------------------------------------------------


def parse_proof(text: str) -> Proof:
    """Take a tlog-proof apart. Raises Tampered."""
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines.pop(0) != PROOF_HEAD:
        raise Tampered("That is no tlog-proof.")
    extra = b""
    if lines and lines[0].startswith("extra "):
        extra = decode(lines.pop(0)[len("extra ") :])
    number = lines.pop(0)[len("index ") :] if lines and lines[0].startswith("index ") else ""
    is_number = number.isascii() and number.isdigit() and (number == "0" or number[0] != "0")
    if not is_number or int(number) > LARGEST_SIZE:
        raise Tampered("The proof does not say which event it is about.")
    path = [decode(line) for line in lines]
    if any(len(step) != HASH_BYTES for step in path):
        raise Tampered("The proof holds something that is no hash.")
    return Proof(int(number), path, note, extra)


def check_proof(text: str, keys: Sequence[str]) -> tuple[Checkpoint, Proof]:
    """Check the proof of an event, whose body is its extra data. Raises Tampered, Incomplete."""
    proof = parse_proof(text)
    head = open_note(proof.note, keys)
    check_inclusion(leaf_hash(proof.extra), proof.leaf_index, head.size, proof.path, head.root)
    return head, proof


# --- The command ---------------------------------------------------------------------------------


def read_keys(given: str) -> list[str]:
    """Read the public keys, one a line, from a file or from the argument itself."""
    path = Path(given)
    text = path.read_text(encoding="utf-8") if path.is_file() else given
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verify.py",
        description="Check an event's proof from the audit log, offline.",
        epilog="Example: python verify.py event.tlog-proof --key public-keys.txt\n\n"
        "Exit code 0: intact, 1: tampered, 2: incomplete, 3: wrong use.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="a .tlog-proof file")
    parser.add_argument(
        "--key",
        required=True,
        help="the log's public keys, one a line as name+hash+key: a file, or the line itself; "
        "from somebody you trust, not from whom you check",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stopped:
        return WRONG_USE if stopped.code else INTACT
    try:
        text = options.path.read_text(encoding="utf-8")
        keys = read_keys(options.key)
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}.", file=sys.stderr)
        return WRONG_USE
    except UnicodeDecodeError:
        print("TAMPERED: the file is not text.", file=sys.stderr)
        return TAMPERED
    try:
        head, proof = check_proof(text, keys)
    except Tampered as error:
        print(f"TAMPERED: {error}", file=sys.stderr)
        return TAMPERED
    except Incomplete as error:
        print(f"INCOMPLETE: {error}", file=sys.stderr)
        return INCOMPLETE
    print(f"INTACT: event {proof.leaf_index} of {head.size} in the log {head.origin}")
    print(proof.extra.decode(errors="replace"))
    return INTACT


if __name__ == "__main__":
    sys.exit(main())
