"""The arithmetic of the Merkle tree: growing it and making proofs (RFC 9162, section 2.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

HASH_BYTES = 32
# Of the inner nodes every eighth level is kept, as in C2SP's tlog-tiles: any other hash is then
# made of at most 256 that are kept.
LEVEL_STEP = 8
EMPTY_ROOT = hashlib.sha256(b"").digest()


class OutsideTree(ValueError):
    """The tree has no such leaf, or no such earlier size."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry to its leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two neighbours to the node above them."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class KeptNode(NamedTuple):
    """A node that is kept: the root of the full subtree of 2^level leaves with that number."""

    level: int
    number: int
    hash: bytes


@dataclass(slots=True)
class Frontier:
    """
    A tree of `size` leaves as the roots of its full subtrees, from the largest on.

    It is all that is needed to add leaves and to name the root.
    """

    size: int = 0
    roots: list[bytes] = field(default_factory=list)

    def extend(self, leaves: Iterable[bytes]) -> list[KeptNode]:
        """Add leaves (their hashes), in order; gives the nodes to keep that became full by it."""
        full: list[KeptNode] = []
        sha256, roots, size = hashlib.sha256, self.roots, self.size
        for leaf in leaves:
            root, index, level = leaf, size, 0
            while index & 1:
                root = sha256(b"\x01" + roots.pop() + root).digest()
                index >>= 1
                level += 1
                if level % LEVEL_STEP == 0:
                    full.append(KeptNode(level, index, root))
            roots.append(root)
            size += 1
        self.size = size
        return full

    def root(self) -> bytes:
        """Give the root of the tree."""
        if not self.roots:
            return EMPTY_ROOT
        root = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> Frontier:
        """Give one that grows by itself."""
        return Frontier(self.size, list(self.roots))


class Nodes(Protocol):
    """Where the kept hashes of a tree are read."""

    def hashes(self, level: int, first: int, count: int) -> Sequence[bytes]:
        """Give `count` hashes of a kept level (0: the leaves), from number `first` on."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of the first `size` leaves, over hashes that are kept somewhere."""

    nodes: Nodes
    size: int

    def frontier(self) -> Frontier:
        """Give what is needed to go on from here."""
        roots, first = [], 0
        for level in reversed(range(self.size.bit_length())):
            if self.size >> level & 1:
                roots.append(self._full(level, first >> level))
                first += 1 << level
        return Frontier(self.size, roots)

    def root(self) -> bytes:
        """Give the tree's root."""
        return self._range(0, self.size) if self.size else EMPTY_ROOT

    def inclusion_proof(self, index: int) -> list[bytes]:
        """
        Prove that the leaf is in the tree: the siblings from the leaf up (RFC 9162, 2.1.3).

        Raises OutsideTree.
        """
        if not 0 <= index < self.size:
            raise OutsideTree("The tree has no such leaf.")
        path: list[bytes] = []
        first, last = 0, self.size
        while last - first > 1:
            middle = first + _split(last - first)
            if index < middle:
                path.append(self._range(middle, last))
                last = middle
            else:
                path.append(self._range(first, middle))
                first = middle
        return path[::-1]

    def consistency_proof(self, earlier: int) -> list[bytes]:
        """
        Prove that this tree continues the one of `earlier` leaves (RFC 9162, 2.1.4).

        Raises OutsideTree.
        """
        if not 0 <= earlier <= self.size:
            raise OutsideTree("The tree never had that size.")
        if earlier in (0, self.size):
            return []
        proof: list[bytes] = []
        first, last, is_known = 0, self.size, True
        while last - first and earlier != last:
            middle = first + _split(last - first)
            if earlier <= middle:
                proof.append(self._range(middle, last))
                last = middle
            else:
                proof.append(self._range(first, middle))
                first, is_known = middle, False
        if not is_known:
            proof.append(self._range(first, last))
        return proof[::-1]

    def remainder(self, shown: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """
        Give what is needed beside some leaves to reckon the root: as few hashes as can be.

        `shown` are half-open ranges of leaves, in order and apart. The hashes are those of the
        largest subtrees in which no leaf is shown, from left to right: see `audit.verify`.
        """
        ranges = iter([*shown, (self.size, self.size)])
        following = next(ranges)
        stack = [(0, self.size)] if self.size else []
        while stack:
            first, last = stack.pop()
            while following[1] <= first and following[0] < self.size:
                following = next(ranges)
            if last <= following[0]:
                yield self._range(first, last)
            elif not (following[0] <= first and last <= following[1]):
                middle = first + _split(last - first)
                stack += [(middle, last), (first, middle)]

    def _range(self, first: int, last: int) -> bytes:
        count = last - first
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self._full(level, first >> level)
        middle = first + _split(count)
        return node_hash(self._range(first, middle), self._range(middle, last))

    def _full(self, level: int, index: int) -> bytes:
        above = level % LEVEL_STEP
        return fold(self.nodes.hashes(level - above, index << above, 1 << above))


def fold(hashes: Sequence[bytes]) -> bytes:
    """Reckon the root above a full row of 2^n hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def _split(count: int) -> int:
    """Give the largest power of two below a count of leaves of at least two."""
    return 1 << ((count - 1).bit_length() - 1)
