"""Checks what the audit log gave out, without our software or our server.

    python verify.py BUNDLE [BUNDLE ...] --key public-keys.txt [--anchors FOLDER] [--witness KEY]
    python verify.py event.tlog-proof --key public-keys.txt [--witness KEY]
    python verify.py certificate.json --key public-keys.txt [--witness KEY]

This file needs Python 3.9 or newer and the package `cryptography`, and nothing else. A bundle is
an export as a folder or as a .zip; of several the next must continue the one before. Exit code 0:
intact; 1: tampered; 2: incomplete, or not to be verified; 3: wrong use.

Sources: RFC 9162, section 2.1; C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

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
ED25519, COSIGNATURE = b"\x01", b"\x04"
LATEST_SECONDS = 253_402_300_799  # the last of the year 9999
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


class Reckoner:
    """A tree that grows from the left, by leaves and by subtrees of which only the root is known.

    `roots` are those of its full subtrees, from the largest on.
    """

    def __init__(self) -> None:
        self.size = 0
        self.roots: list[bytes] = []
        self._tail = b""

    def add_leaves(self, leaves: Iterable[bytes]) -> None:
        """Add leaves, by their hashes."""
        sha256, roots, size = hashlib.sha256, self.roots, self.size
        for leaf in leaves:
            root, index = leaf, size
            while index & 1:
                root = sha256(b"\x01" + roots.pop() + root).digest()
                index >>= 1
            roots.append(root)
            size += 1
        self.size = size

    def add_subtree(self, count: int, root: bytes) -> None:
        """Add so many leaves by the root above them; a count of no power of two ends the tree."""
        if count & (count - 1):
            self._tail = root
        else:
            index = self.size // count
            while index & 1:
                root = node_hash(self.roots.pop(), root)
                index >>= 1
            self.roots.append(root)
        self.size += count

    def root(self) -> bytes:
        """Give the root of the whole tree."""
        if not self.size:
            return EMPTY_ROOT
        roots = [*self.roots, self._tail] if self._tail else list(self.roots)
        root = roots.pop()
        while roots:
            root = node_hash(roots.pop(), root)
        return root


def subtrees(first: int, last: int, size: int) -> Iterator[int]:
    """Give how many leaves each of the largest subtrees has that fill a stretch of the tree."""
    while first < last:
        aligned = first & -first or size
        if last == size and aligned >= size - first:
            count = size - first
        else:
            count = 1 << (min(aligned, last - first).bit_length() - 1)
        yield count
        first += count


def reckon(
    size: int,
    shown: Iterable[tuple[int, int]],
    leaves: Iterable[bytes],
    remainder: Iterable[bytes],
    heads: Sequence[Checkpoint] = (),
) -> bytes:
    """
    Reckon the root of a tree of which some leaves are shown, and the rest is given by subtrees.

    `shown` are half-open ranges, in order; `leaves` are the hashes of all their leaves, and
    `remainder` those of the largest subtrees without any, both from left to right. `heads` are
    earlier ones, by size, compared on the way where the tree is known so far.

    Raises Tampered if there are too few or too many hashes, or a head is another.
    """
    tree, nothing = Reckoner(), b""
    of_leaves, of_rest, waiting = iter(leaves), iter(remainder), list(reversed(heads))

    def compare_heads() -> None:
        while waiting and waiting[-1].size <= tree.size:
            head = waiting.pop()
            if head.size == tree.size and head.root != tree.root():
                raise Tampered(
                    f"The head of {head.size} events that was anchored is not the one these "
                    "events lead to: the log was rewritten."
                )

    for first, last in [*shown, (size, size)]:
        if not tree.size <= first <= last <= size:
            raise Tampered("The proof's ranges are not in order.")
        for count in subtrees(tree.size, first, size):
            subtree = next(of_rest, nothing)
            if not subtree:
                raise Tampered("The proof has too few hashes for the events it is about.")
            tree.add_subtree(count, subtree)
        compare_heads()
        while tree.size < last:
            following = waiting[-1].size if waiting else last
            step = min(last, max(following, tree.size + 1)) - tree.size
            before = tree.size
            tree.add_leaves(islice(of_leaves, step))
            if tree.size < before + step:
                raise Tampered("There are fewer events than the proof is about.")
            compare_heads()
    if next(of_leaves, nothing) or next(of_rest, nothing):
        raise Tampered("The proof has more hashes than the events it is about need.")
    return tree.root()


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
    text, signatures = _signatures(note)
    known = dict(_verifier(line, ED25519) for line in keys)
    is_signed = False
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        _check_signature(key, signature, text)
        is_signed = True
    if not is_signed:
        raise Incomplete("No key that you trust has signed the checkpoint.")
    return parse_checkpoint(note)


def cosigned_at(note: str, witness: str) -> int:
    """
    Give when a witness (a line name+hash+key) says it saw a checkpoint, in seconds since 1970.

    Of several times the latest. Source: C2SP tlog-cosignature, Ed25519.

    Raises:
        Tampered: the witness's signature is wrong, or something is not written as it must be.
        Incomplete: the witness has not cosigned it, or its key is not written as one.
    """
    text, signatures = _signatures(note)
    wanted, key = _verifier(witness, COSIGNATURE)
    times = []
    for name, key_id, signature in signatures:
        if (name, key_id) != wanted:
            continue
        seconds = int.from_bytes(signature[:8], "big")
        if len(signature) != 8 + 64 or seconds > LATEST_SECONDS:
            raise Tampered("A cosignature is not written as one.")
        _check_signature(key, signature[8:], f"cosignature/v1\ntime {seconds}\n{text}")
        times.append(seconds)
    if not times:
        raise Incomplete(f"The witness {wanted[0]} has not cosigned the checkpoint.")
    return max(times)


def check_witness_key(line: str) -> str:
    """Read a witness's public key, name+hash+key; gives the name. Raises Incomplete."""
    return _verifier(line, COSIGNATURE)[0][0]


def _signatures(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Take a note apart: its text, and name, key id and signature of each line."""
    if any(ord(letter) < 0x20 and letter != "\n" for letter in note):
        raise Tampered("A checkpoint holds control characters.")
    text, separator, signatures = note.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise Tampered("A checkpoint has no signature.")
    lines = signatures[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise Tampered("A checkpoint has more signatures than are read.")
    found = []
    for line in lines:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        signature = decode(encoded)
        if dash != "—" or not _is_name(name) or len(signature) <= 4:
            raise Tampered("A signature is not written as one.")
        found.append((name, signature[:4], signature[4:]))
    return text + "\n", found


def _check_signature(key: Ed25519PublicKey, signature: bytes, text: str) -> None:
    try:
        key.verify(signature, text.encode())
    except InvalidSignature:
        raise Tampered("A checkpoint's signature is wrong.") from None


def _verifier(line: str, kind: bytes) -> tuple[tuple[str, bytes], Ed25519PublicKey]:
    name, _, rest = line.strip().partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        key = base64.b64decode(encoded, validate=True)
        given_id = bytes.fromhex(key_id)
        public = Ed25519PublicKey.from_public_bytes(key[1:])
    except ValueError:
        raise Incomplete("A public key is not written as name+hash+key, or not Ed25519.") from None
    right_id = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    if not _is_name(name) or key[:1] != kind or given_id != right_id:
        raise Incomplete("A public key does not fit its name, or is of another kind.")
    return (name, given_id), public


def key_fingerprint(line: str) -> str:
    """Give the SHA-256 of a public key by its line, name+hash+key. Raises Tampered."""
    parts = line.split("+", 2)
    if len(parts) < 3:
        raise Tampered("A public key is not written as name+hash+key.")
    return hashlib.sha256(decode(parts[2])[1:]).hexdigest()


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


# --- Bundles -------------------------------------------------------------------------------------

MANIFEST, SEAL, SEAL_CONSISTENCY = "manifest.json", "bundle.tlog-proof", "bundle.consistency"
CHECKPOINT, KEYS, PROOF = "checkpoint.txt", "keys.txt", "proof.txt"
WITNESSED = "witnessed/"
BUNDLE_FORMAT, BUNDLE_PROOF_HEAD = "tallenne-audit-bundle@v1", "tallenne-audit-bundle-proof@v1"
BUNDLE_COMPLETED, KEY_INTRODUCED = "bundle.completed", "sealing_key.introduced"
MOST_FAULTS = 20
# In a canonical body no other member of any object is called ts, and no string holds a bare quote.
HAPPENED_AT = re.compile(rb',"ts":"([^"]{27})"')
# Which member of a body an export's filter is about.
FILTERS = {
    "actor": lambda body: [body.get("act", {}).get("ref")],
    "type": lambda body: [body.get("op")],
    "outcome": lambda body: [body.get("out")],
    "about": lambda body: [body.get("obj", {}).get("ref"), body.get("x", {}).get("conversation")],
}


class Files:
    """The files of a bundle, whether it is a folder or a .zip."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._zip = None if Path(path).is_dir() else zipfile.ZipFile(path)
        if self._zip:
            self.names = [name for name in self._zip.namelist() if not name.endswith("/")]
        else:
            root = Path(path)
            self.names = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
        if len(self.names) != len(set(self.names)):
            raise Tampered("The bundle has two files of one name.")

    def read(self, name: str) -> bytes:
        """Read a file whole. Raises Incomplete, Tampered."""
        if name not in self.names:
            raise Incomplete(f"{name} is missing from the bundle.")
        if self._zip is None:
            return (Path(self.path) / name).read_bytes()
        try:
            return self._zip.read(name)
        except Exception as error:  # whatever zlib and zipfile make of bytes that were changed
            raise Tampered(f"{name} cannot be unpacked: {error}.") from error

    def text(self, name: str) -> str:
        """Read a file as text. Raises Incomplete, Tampered."""
        try:
            return self.read(name).decode()
        except UnicodeDecodeError:
            raise Tampered(f"{name} is not text.") from None


class Part(NamedTuple):
    """What is found in one file of events: hashes of its leaves, and what is wrong in it."""

    leaves: bytes
    outside: int  # events that do not fit the time asked for
    faults: list[tuple[int, str]]  # in which line, from 0


class Bundle(NamedTuple):
    """A bundle that was found intact."""

    name: str
    head: Checkpoint
    manifest: dict[str, Any]
    ranges: list[tuple[int, int]]
    events: int
    signed_by: list[str]
    anchors: int
    witnessed: list[str]
    notes: list[str]


def check_bundle(
    path: str,
    keys: Sequence[str],
    anchors: Sequence[str] = (),
    jobs: int = 1,
    on_progress: Any = None,
    witnesses: Sequence[str] = (),
) -> Bundle:
    """
    Check a bundle: that its events are in the log whose head was signed, and all files as written.

    `anchors` are notes from the anchor, `witnesses` the keys of those who must have cosigned a head
    that it continues. Raises Tampered, Incomplete, OSError.
    """
    try:
        files = Files(path)
    except zipfile.BadZipFile as error:
        raise Tampered(f"The .zip cannot be opened: {error}.") from None
    faults: list[str] = []
    manifest = _json(files.text(MANIFEST), MANIFEST)
    try:
        return _check_bundle(files, manifest, keys, anchors, jobs, on_progress, witnesses, faults)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Tampered(f"{MANIFEST} is not written as one: {error!r}.") from error
    except Tampered as error:
        raise Tampered("\n".join([*faults, str(error)])) from None


def _check_bundle(
    files: Files,
    manifest: dict[str, Any],
    keys: Sequence[str],
    anchors: Sequence[str],
    jobs: int,
    on_progress: Any,
    witnesses: Sequence[str],
    faults: list[str],
) -> Bundle:
    if manifest["format"] != BUNDLE_FORMAT:
        raise Incomplete(f"The bundle is of another format: {manifest['format']}.")
    trusted = _follow_keys(files, keys)
    head = open_note(files.text(CHECKPOINT), trusted)
    listed = {file["path"]: file for file in manifest["files"]}
    own = {MANIFEST, SEAL, SEAL_CONSISTENCY}
    missing = [name for name in listed if name not in files.names]
    if missing:
        raise Incomplete(f"{missing[0]} is missing from the bundle.")
    ranges, remainder = _read_ranges(files.text(PROOF), head.size)
    leaves, outside = _check_parts(files.path, manifest, ranges, jobs, on_progress, faults)
    faults += [
        f"{name}: it is not the file that was exported."
        for name, file in listed.items()
        if file.get("events") is None and not _is_as_listed(files.read(name), file)
    ]
    faults += [
        f"{name}: it is not part of what was exported."
        for name in sorted(set(files.names) - set(listed) - own)
    ]
    heads = _heads(anchors, trusted, head)
    if reckon(head.size, ranges, leaves, remainder, heads) != head.root:
        raise Tampered("The events are not those of the log whose head was signed.")
    if faults:
        raise Tampered("The bundle was altered.")
    events = sum(last - first for first, last in ranges)
    _check_counts(manifest, head, ranges, outside)
    _check_seal(files, trusted, head)
    inside = [one for one in heads if one.size == head.size or _covers(ranges, one.size)]
    notes = []
    if len(heads) > len(inside):
        notes.append(f"{len(heads) - len(inside)} anchored heads lie outside of what it shows.")
    on_the_way = set(inside)
    compared = [note for note in anchors if parse_checkpoint(note) in on_the_way]
    continued = [*_witnessed_heads(files, trusted, head), *compared]
    witnessed = [_witnessed_by(witness, continued) for witness in witnesses]
    return Bundle(
        Path(files.path).name,
        head,
        manifest,
        ranges,
        events,
        _signers(files, trusted),
        len(inside),
        witnessed,
        notes,
    )


def _check_parts(
    path: str,
    manifest: dict[str, Any],
    ranges: Sequence[tuple[int, int]],
    jobs: int,
    on_progress: Any,
    faults: list[str],
) -> tuple[Iterator[bytes], int]:
    """Check the files of events; gives their leaves, and how many do not fit the time asked for."""
    listed = {file["path"]: file for file in manifest["files"]}
    parts = [file for file in manifest["files"] if file.get("events") is not None]
    work = [(path, file, listed[file["leaves"]], manifest["query"]) for file in parts]
    leaves: list[bytes] = []
    outside, places = 0, _places(ranges)
    pool = ProcessPoolExecutor(jobs) if jobs > 1 and len(work) > 1 else None
    try:
        for file, part in zip(parts, (pool.map if pool else map)(_check_part, work)):  # noqa: B905
            leaves.append(part.leaves)
            outside += part.outside
            at = list(islice(places, len(part.leaves) // HASH_BYTES))
            for line, wrong in part.faults:
                place = f" (place {at[line]} of the log)" if line < len(at) else ""
                faults.append(f"{file['path']}, line {line + 1}{place}: {wrong}")
            if on_progress:
                on_progress(len(leaves), len(work))
    finally:
        if pool:
            pool.shutdown()
    each = (part[at : at + HASH_BYTES] for part in leaves for at in range(0, len(part), HASH_BYTES))
    return each, outside


def _check_counts(
    manifest: dict[str, Any], head: Checkpoint, ranges: Sequence[tuple[int, int]], outside: int
) -> None:
    """Check that the manifest speaks of what there is. Raises Tampered."""
    tree = manifest["tree"]
    if (tree["size"], tree["root"], tree["origin"]) != (head.size, head.root.hex(), head.origin):
        raise Tampered("The manifest speaks of another head than the one that was signed.")
    counted = sum(file["events"] for file in manifest["files"] if file.get("events") is not None)
    shown = sum(last - first for first, last in ranges)
    if not counted == manifest["events"] == shown or outside != manifest["outside"]:
        raise Tampered("The manifest counts other events than there are.")
    if manifest["is_all"] and len(ranges) > 1:
        raise Tampered("The bundle says it has all events, and leaves some out.")


def check_chain(bundles: Sequence[Bundle]) -> list[str]:
    """
    Check that of each log's bundles the next continues the one before; gives what to know.

    Raises Tampered, Incomplete.
    """
    notes = []
    ordered = sorted(bundles, key=lambda bundle: (bundle.manifest["log"], bundle.head.size))
    for at in range(1, len(ordered)):
        earlier, later = ordered[at - 1], ordered[at]
        if earlier.manifest["log"] != later.manifest["log"]:
            continue
        size = earlier.head.size
        if size != later.head.size:
            known = {entry["size"]: entry for entry in later.manifest["continues"]}
            if size not in known:
                raise Incomplete(f"{later.name} has no proof that it continues {earlier.name}.")
            proof = [decode(step) for step in known[size]["proof"]]
        else:
            proof = []
        check_consistency(size, later.head.size, proof, earlier.head.root, later.head.root)
        if earlier.manifest["is_all"] and later.manifest["is_all"] and later.ranges:
            end = earlier.ranges[-1][1] if earlier.ranges else size
            if later.ranges[0][0] > end:
                notes.append(
                    f"Between {earlier.name} and {later.name} "
                    f"{later.ranges[0][0] - end} events of the log are in neither."
                )
    return notes


def _check_part(work: tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]) -> Part:
    """Hash each event of a file, and compare it with the leaf that stands beside it."""
    path, file, leaf_file, query = work
    files = Files(path)
    data, kept = files.read(file["path"]), files.read(leaf_file["path"])
    faults: list[tuple[int, str]] = []
    lines = data.split(b"\n")
    if lines.pop() != b"":
        faults.append((len(lines), "the file does not end with a line."))
    sha256 = hashlib.sha256
    hashes = [sha256(b"\x00" + line).digest() for line in lines]
    if b"".join(hashes) != kept:
        for number, value in enumerate(hashes):
            at = number * HASH_BYTES
            if kept[at : at + HASH_BYTES] != value:
                faults.append((number, "the event is not the one that was sealed."))
                if len(faults) == MOST_FAULTS:
                    break
        if len(kept) != len(hashes) * HASH_BYTES:
            faults.append((len(hashes), "the file has more or fewer events than were exported."))
    for name, content, entry in (("events", data, file), ("leaves", kept, leaf_file)):
        if not _is_as_listed(content, entry) and not faults:
            faults.append((0, f"the file of {name} is not the one that was exported."))
    if not faults and len(hashes) != file["events"]:
        faults.append((len(hashes), f"the manifest counts {file['events']} events here."))
    outside = 0
    first, last = query.get("from") or "", query.get("until") or "~"
    asked = {name: query[name] for name in FILTERS if query.get(name)}
    for number, line in enumerate(lines):
        found = HAPPENED_AT.search(line)
        if found is None:
            faults.append((number, "the event does not say when it happened."))
        elif not first <= found[1].decode() < last:
            outside += 1
        if asked and not _fits(line, asked):
            faults.append((number, "the event is not one that was asked for."))
        if len(faults) >= MOST_FAULTS:
            break
    return Part(b"".join(hashes), outside, faults)


def _fits(line: bytes, asked: dict[str, str]) -> bool:
    try:
        body = json.loads(line)
        return all(value in FILTERS[name](body) for name, value in asked.items())
    except (ValueError, AttributeError):
        return False


def _is_as_listed(content: bytes, entry: dict[str, Any]) -> bool:
    return bool(
        len(content) == entry["bytes"] and hashlib.sha256(content).hexdigest() == entry["sha256"]
    )


def _read_ranges(text: str, size: int) -> tuple[list[tuple[int, int]], list[bytes]]:
    lines = text.split("\n")
    if lines[:2] != [BUNDLE_PROOF_HEAD, f"size {size}"] or lines.pop() != "":
        raise Tampered(f"{PROOF} is not written as one, or for another head.")
    ranges: list[tuple[int, int]] = []
    at = 2
    while at < len(lines) and lines[at]:
        word, _, rest = lines[at].partition(" ")
        first, _, last = rest.partition(" ")
        if word != "leaves" or not (first.isdigit() and last.isdigit()) or int(first) >= int(last):
            raise Tampered(f"{PROOF} has a line that is no range.")
        if rest != f"{int(first)} {int(last)}":
            raise Tampered(f"{PROOF} has a number that is not written as one.")
        if ranges and ranges[-1][1] == int(first):
            ranges[-1] = (ranges[-1][0], int(last))
        else:
            ranges.append((int(first), int(last)))
        at += 1
    remainder = [decode(line) for line in lines[at + 1 :]]
    if at >= len(lines) or any(len(value) != HASH_BYTES for value in remainder):
        raise Tampered(f"{PROOF} is not written as one.")
    return ranges, remainder


def _places(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last)


def _covers(ranges: Sequence[tuple[int, int]], size: int) -> bool:
    return any(first <= size <= last for first, last in ranges[:1])


def _heads(anchors: Sequence[str], keys: Sequence[str], head: Checkpoint) -> list[Checkpoint]:
    found = []
    for note in anchors:
        anchored = parse_checkpoint(note)
        if anchored.origin != head.origin:
            continue
        open_note(note, keys)
        if anchored.size == head.size and anchored.root != head.root:
            raise Tampered(f"Another head of {head.size} events was anchored: the log was forked.")
        found.append(anchored)
    return sorted(set(found), key=lambda one: one.size)


def _witnessed_heads(files: Files, keys: Sequence[str], head: Checkpoint) -> list[str]:
    """Give the notes of the head and of the witnessed ones that it is proven to continue."""
    notes = [files.text(CHECKPOINT)]
    for name in sorted(name for name in files.names if name.startswith(WITNESSED)):
        steps, separator, note = files.text(name).partition("\n\n")
        if not separator:
            raise Tampered(f"{name} is not written as one.")
        earlier = open_note(note, keys)
        if earlier.origin != head.origin:
            raise Tampered(f"{name} is of another log.")
        proof = [decode(step) for step in steps.split("\n")]
        check_consistency(earlier.size, head.size, proof, earlier.root, head.root)
        notes.append(note)
    return notes


def _witnessed_by(witness: str, notes: Sequence[str]) -> str:
    """Say which is the largest of the heads a witness has cosigned. Raises Tampered, Incomplete."""
    found = []
    for note in notes:
        try:
            seconds = cosigned_at(note, witness)
        except Incomplete:
            continue
        found.append((parse_checkpoint(note).size, seconds))
    name = check_witness_key(witness)
    if not found:
        raise Incomplete(f"The witness {name} has cosigned no head that is shown.")
    size, seconds = max(found)
    at = datetime.fromtimestamp(seconds, timezone.utc)  # noqa: UP017 (Python 3.9)
    return f"witnessed by {name} at {at:%Y-%m-%d %H:%M:%S} UTC: the head of {size} events"


def _follow_keys(files: Files, keys: Sequence[str]) -> list[str]:
    """Give the trusted keys and those that they introduced, each proven by an event of the log."""
    trusted = list(keys)
    candidates = {key_fingerprint(line): line for line in files.text(KEYS).splitlines()}
    for name in sorted(name for name in files.names if name.startswith("keys/")):
        try:
            _head, proof = check_proof(files.text(name), trusted)
        except Incomplete:
            continue  # from before the keys that are trusted
        body = _json(proof.extra.decode(errors="replace"), name)
        if body.get("op") != KEY_INTRODUCED or body["x"]["key"] not in candidates:
            raise Tampered(f"{name} does not introduce a key of the bundle.")
        if candidates[body["x"]["key"]] not in trusted:
            trusted.append(candidates[body["x"]["key"]])
    return trusted


def _signers(files: Files, keys: Sequence[str]) -> list[str]:
    """Give the SHA-256 of the trusted keys that signed the head."""
    note = files.text(CHECKPOINT)
    signed = []
    for line in keys:
        try:
            open_note(note, [line])
        except Incomplete:
            continue
        signed.append(key_fingerprint(line))
    return signed


def _check_seal(files: Files, keys: Sequence[str], head: Checkpoint) -> None:
    """Check that the log itself has an event which names the digest of this manifest."""
    if SEAL not in files.names:
        raise Incomplete(f"{SEAL} is missing: nothing says that the manifest was not altered.")
    sealed, proof = check_proof(files.text(SEAL), keys)
    body = _json(proof.extra.decode(errors="replace"), SEAL)
    digest = hashlib.sha256(files.read(MANIFEST)).hexdigest()
    if body.get("op") != BUNDLE_COMPLETED or body["x"]["digest"] != digest:
        raise Tampered("The manifest is not the one that the log has sealed.")
    if sealed.origin != head.origin:
        raise Incomplete("The log was restarted while the bundle was made.")
    text = files.text(SEAL_CONSISTENCY)
    steps = [decode(line) for line in text.split("\n")[:-1]]
    if text and not text.endswith("\n"):
        raise Tampered(f"{SEAL_CONSISTENCY} is not written as one.")
    check_consistency(head.size, sealed.size, steps, head.root, sealed.root)


def _json(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise Tampered(f"{name} is no JSON.") from None
    if not isinstance(found, dict):
        raise Tampered(f"{name} is no JSON object.")
    return found


# --- Certificates of destruction -----------------------------------------------------------------

CERTIFICATE_ISSUED, CONVERSATION_DESTROYED = "certificate.issued", "conversation.destroyed"
CERTIFICATE_VERSIONS = (1, 2)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[A-Za-z0-9_.:+/-]{1,200}")
_TEXT = re.compile(r"[\x21-\x7e]{1,1000}")
_STANDARD = re.compile(r"NIST SP 800-88r2")
_NOTE = re.compile(r"[^\x00-\x09\x0b-\x1f]*")
# A name with a question mark may be missing.
_BODY = {
    "act": {"ref": _CODE, "role?": _CODE, "t": _CODE},
    "ctl": _ID,
    "id": _ID,
    "obj": {"ref": _ID, "t": _CODE},
    "op": _CODE,
    "out": _CODE,
    "req?": {"id": _ID},
    "ts": _TIME,
    "v": int,
}
_LINE: dict[str, Any] = {
    "concluded_at": _TIME,
    "confirmed_at": _TIME,
    "conversation": _ID,
    "deleted_at": _TIME,
    "destroy_after": _TIME,
    "event": {**_BODY, "x": {"methods": [_CODE], "run": _ID}},
    "hold_check": {"at": _TIME, "holds": int, "requests": int},
    "key_destroyed_at": _TIME,
    "leaf_index": int,
    "ledger": _CODE,
    "objects": [{"key": _CODE, "sha256": (_SHA256, None), "version": _TEXT}],
    "rules": [_ID],
    "sha256": _SHA256,
    "withdrawn_at": _TIME,
}
# By version, what a line has.
_LINES: dict[int, dict[str, Any]] = {1: _LINE, 2: {**_LINE, "last_copy_lapses_at": _TIME}}
# The closed list of fields: what else a certificate said, nobody would have agreed to.
_CERTIFICATE: dict[str, Any] = {
    "certificate": {
        "controller": _ID,
        "counts": {"brought_back": int, "destroyed": int, "object_versions": int, "remaining": int},
        "id": _ID,
        "issued_at": _TIME,
        "lines": None,  # by version
        "methods": {"content_key": _CODE, "derived_rows": _CODE, "object_versions": _CODE},
        "number": int,
        "rules": [
            {
                "approved_by": [_ID],
                "in_force_from": _TIME,
                "legal_basis": _CODE,
                "number": int,
                "rule": _ID,
                "version": _ID,
            }
        ],
        "run": {"actor": _CODE, "finished_at": _TIME, "id": _ID, "started_at": _TIME},
        "standard": _STANDARD,
        "v": int,
    },
    "seal": {
        "checkpoint": _NOTE,
        "event": {
            **_BODY,
            "x": {"conversations": int, "digest": _SHA256, "run": _ID, "version": int},
        },
        "leaf_index": int,
        "remainder": [_TEXT],
    },
}


class Certificate(NamedTuple):
    """A certificate that was found intact."""

    head: Checkpoint
    note: str
    said: dict[str, Any]
    anchors: int


def check_certificate(data: bytes, keys: Sequence[str], anchors: Sequence[str] = ()) -> Certificate:
    """
    Check a certificate: its fields, its digest in the log, and that each line's event is there.

    `anchors` are notes from the anchor. Raises Tampered, Incomplete.
    """
    try:
        whole = _json(data.decode(), "The certificate")
        is_canonical = _canonical(whole) + b"\n" == data
    except (UnicodeError, RecursionError):
        raise Tampered("The certificate is not text that can be read.") from None
    said = whole.get("certificate")
    if isinstance(said, dict) and said.get("v") not in CERTIFICATE_VERSIONS:
        raise Incomplete(f"The certificate is of another version: {said.get('v')!r}.")
    faults = _line_faults(said)
    if wrong := _misfit(whole, _shape(said), ""):
        faults.append(f"{wrong}: it is not what a certificate has there.")
    elif not is_canonical:
        faults.append("The certificate is not written in its one canonical form.")
    if faults:
        raise Tampered("\n".join(faults))
    return _check_certificate(whole["certificate"], whole["seal"], keys, anchors)


def _check_certificate(
    said: dict[str, Any], seal: dict[str, Any], keys: Sequence[str], anchors: Sequence[str]
) -> Certificate:
    head = open_note(seal["checkpoint"], keys)
    # Of the tree up to another head too little is shown to compare that one.
    heads = [one for one in _heads(anchors, keys, head) if one.size == head.size]
    lines, event = said["lines"], seal["event"]
    places = [line["leaf_index"] for line in lines] + [seal["leaf_index"]]
    if places != sorted(set(places)):
        raise Tampered("The places of the events in the log are not in order.")
    bodies = [line["event"] for line in lines] + [event]
    leaves = (leaf_hash(_canonical(body)) for body in bodies)
    remainder = [decode(step) for step in seal["remainder"]]
    if any(len(step) != HASH_BYTES for step in remainder):
        raise Tampered("The seal holds something that is no hash.")
    if reckon(head.size, [(at, at + 1) for at in places], leaves, remainder) != head.root:
        raise Tampered("The events are not those of the log whose head was signed.")
    if (event["op"], event["out"], event["obj"]) != (
        CERTIFICATE_ISSUED,
        "allow",
        {"ref": said["id"], "t": "certificate"},
    ):
        raise Tampered("The seal is not of this certificate.")
    if event["x"]["digest"] != hashlib.sha256(_canonical(said)).hexdigest():
        raise Tampered("The certificate is not the one whose digest the log has sealed.")
    counted = {
        "conversations": said["counts"]["destroyed"],
        "digest": event["x"]["digest"],
        "run": said["run"]["id"],
        "version": said["number"],
    }
    if (event["x"], event["ctl"], event["ts"]) != (
        counted,
        said["controller"],
        said["issued_at"],
    ):
        raise Tampered("The log says something else of this certificate than it says itself.")
    objects = sum(len(line["objects"]) for line in lines)
    counts = said["counts"]
    if (counts["destroyed"], counts["object_versions"]) != (len(lines), objects):
        raise Tampered("The counts are not those of the lines.")
    if len({line["conversation"] for line in lines}) != len(lines):
        raise Tampered("A conversation stands on two lines.")
    return Certificate(head, seal["checkpoint"], said, len(heads))


def _shape(said: Any) -> dict[str, Any]:
    """Give the closed list of fields of a certificate of this version."""
    return {**_CERTIFICATE, "certificate": {**_CERTIFICATE["certificate"], "lines": [_line(said)]}}


def _line(said: Any) -> dict[str, Any]:
    version = said.get("v") if isinstance(said, dict) else None
    return _LINES[version if version in CERTIFICATE_VERSIONS else CERTIFICATE_VERSIONS[-1]]


def _line_faults(said: Any) -> list[str]:
    """Name the lines that are wrong by themselves; nothing needs to be as it should be."""
    lines = said.get("lines") if isinstance(said, dict) else None
    faults = []
    for number, line in enumerate(lines if isinstance(lines, list) else [], start=1):
        if wrong := _line_fault(said, line):
            name = line.get("conversation") if isinstance(line, dict) else None
            faults.append(f"Line {number} (conversation {name}): {wrong}")
            if len(faults) == MOST_FAULTS:
                break
    return faults


def _line_fault(said: dict[str, Any], line: Any) -> str | None:
    if misfit := _misfit(line, _line(said), ""):
        return f"{misfit} is not what a line has there."
    rest = {name: value for name, value in line.items() if name != "sha256"}
    if hashlib.sha256(_canonical(rest)).hexdigest() != line["sha256"]:
        return "it is not the line that was certified."
    event, run = line["event"], said.get("run")
    happened = (event["op"], event["out"], event["obj"], event["ctl"], event["ts"])
    if happened != (
        CONVERSATION_DESTROYED,
        "allow",
        {"ref": line["conversation"], "t": "conversation"},
        said.get("controller"),
        line["concluded_at"],
    ):
        return "the event is not that of its destruction."
    if not isinstance(run, dict) or event["x"]["run"] != run.get("id"):
        return "it was destroyed by another run."
    check = line["hold_check"]
    if check != {"at": line["key_destroyed_at"], "holds": 0, "requests": 0}:
        return "a hold or a request barred it when its key was destroyed."
    steps = ["destroy_after", "withdrawn_at", "key_destroyed_at", "deleted_at", "confirmed_at"]
    times = [line[step] for step in (*steps, "concluded_at")]
    if times != sorted(times):
        return "its steps are not in order."
    if line.get("last_copy_lapses_at", line["key_destroyed_at"]) < line["key_destroyed_at"]:
        return "the last copy of its key lapsed before the key was destroyed."
    return None


def _misfit(value: Any, shape: Any, where: str) -> str | None:
    """Say where a value is not of a shape; None if it is, with nothing more and nothing less."""
    here = where or "the certificate"
    if isinstance(shape, dict):
        known = {name.rstrip("?"): inner for name, inner in shape.items()}
        needed = {name for name in shape if not name.endswith("?")}
        if not isinstance(value, dict) or not needed <= value.keys() <= known.keys():
            return here
        found = (_misfit(value[name], known[name], f"{where}.{name}".strip(".")) for name in value)
        return next((one for one in found if one), None)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return here
        found = (_misfit(one, shape[0], f"{where}[{at}]") for at, one in enumerate(value))
        return next((one for one in found if one), None)
    if isinstance(shape, tuple):
        return None if any(not _misfit(value, one, where) for one in shape) else here
    if shape is int:
        return None if type(value) is int and 0 <= value <= LARGEST_SIZE else here
    if shape is None:
        return None if value is None else here
    return None if isinstance(value, str) and shape.fullmatch(value) else here


def _canonical(value: Any) -> bytes:
    """Write a value as canonical JSON (the subset of RFC 8785 that the log uses)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# --- The command ---------------------------------------------------------------------------------


def read_keys(given: str) -> list[str]:
    """Read the public keys, one a line, from a file or from the argument itself."""
    is_file = os.path.isfile(given)  # noqa: PTH113 (a long line of keys is no error here)
    text = Path(given).read_text(encoding="utf-8") if is_file else given
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def read_anchors(folder: Path) -> list[str]:
    """
    Read the heads that were taken from the anchor, one a file, the oldest version of each.

    Time stamps (.tsr) are left to `openssl ts -verify`.
    """
    return [
        path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".tsr"
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verify.py",
        description="Check bundles of the audit log, proofs of events, and certificates, offline.",
        epilog="Example: python verify.py 2026-10.zip 2026-11.zip --key public-keys.txt\n\n"
        "Exit code 0: intact, 1: tampered, 2: incomplete, 3: wrong use.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "path",
        nargs="+",
        type=Path,
        help="a bundle (folder or .zip), a .tlog-proof file, or a certificate (.json)",
    )
    parser.add_argument(
        "--key",
        required=True,
        help="the log's public keys, one a line as name+hash+key: a file, or the line itself; "
        "from somebody you trust, not from whom you check",
    )
    parser.add_argument(
        "--anchors", type=Path, help="a folder of heads that were taken from the anchor"
    )
    parser.add_argument(
        "--witness",
        action="append",
        default=[],
        help="the public key of a witness that must have seen the log, as name+hash+key, or a file "
        "of such lines; may be repeated",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes side by side"
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
        keys = read_keys(options.key)
        anchors = read_anchors(options.anchors) if options.anchors else []
        witnesses = [line for given in options.witness for line in read_keys(given)]
        bundles = []
        for path in options.path:
            if path.is_dir() or zipfile.is_zipfile(path) or path.suffix == ".zip":
                bundles.append(_say_bundle(path, keys, anchors, options.jobs, witnesses))
            elif path.suffix == ".json":
                _say_certificate(path, keys, anchors, witnesses)
            else:
                _say_proof(path, keys, witnesses)
        for note in check_chain(bundles):
            print(f"  Note: {note}")
        if len(bundles) > 1:
            print("INTACT: the bundles continue one another.")
    except Tampered as error:
        print(f"TAMPERED: {error}", file=sys.stderr)
        return TAMPERED
    except Incomplete as error:
        print(f"INCOMPLETE: {error}", file=sys.stderr)
        return INCOMPLETE
    except OSError as error:
        print(f"{error.filename} cannot be read: {error.strerror}.", file=sys.stderr)
        return WRONG_USE
    return INTACT


def _say_proof(path: Path, keys: Sequence[str], witnesses: Sequence[str]) -> None:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise Tampered("the file is not text.") from None
    head, proof = check_proof(text, keys)
    witnessed = [_witnessed_by(witness, [proof.note]) for witness in witnesses]
    print(f"INTACT: event {proof.leaf_index} of {head.size} in the log {head.origin}")
    for line in witnessed:
        print(f"  {line}")
    print(proof.extra.decode(errors="replace"))


def _say_certificate(
    path: Path, keys: Sequence[str], anchors: Sequence[str], witnesses: Sequence[str]
) -> None:
    found = check_certificate(path.read_bytes(), keys, anchors)
    said, counts = found.said, found.said["counts"]
    witnessed = [_witnessed_by(witness, [found.note]) for witness in witnesses]
    print(f"INTACT: certificate {said['id']}, number {said['number']} of run {said['run']['id']}")
    print(f"  {counts['destroyed']} conversations destroyed, each event in {found.head.origin}")
    print(
        f"  {counts['object_versions']} object versions deleted, {counts['brought_back']} "
        f"conversations brought back by a hold, {counts['remaining']} remained"
    )
    print(f"  anchored heads compared: {found.anchors}")
    for line in witnessed:
        print(f"  {line}")


def _say_bundle(
    path: Path,
    keys: Sequence[str],
    anchors: Sequence[str],
    jobs: int,
    witnesses: Sequence[str],
) -> Bundle:
    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{path.name}: {done} of {total} files", end="", file=sys.stderr)
            if done == total:
                print(file=sys.stderr)

    bundle = check_bundle(str(path), keys, anchors, jobs, show, witnesses)
    first = bundle.ranges[0][0] if bundle.ranges else 0
    last = bundle.ranges[-1][1] if bundle.ranges else 0
    everything = (
        f"all that lie at places {first} to {last - 1}"
        if bundle.manifest["is_all"] and bundle.ranges
        else "chosen ones; that none of the kind is missing is not proven"
    )
    print(f"INTACT: {bundle.name}, {bundle.events} events of the log {bundle.head.origin}")
    print(f"  {everything}; the log then had {bundle.head.size}")
    print(f"  head signed by the key {', '.join(bundle.signed_by)}")
    print(f"  anchored heads compared: {bundle.anchors}")
    for line in bundle.witnessed:
        print(f"  {line}")
    for note in bundle.notes:
        print(f"  Note: {note}")
    return bundle


if __name__ == "__main__":
    sys.exit(main())
