"""The tree makes the proofs of RFC 9162, and the verifier takes these and no others."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import verify
from audit.merkle import EMPTY_ROOT, LEVEL_STEP, Frontier, OutsideTree, Tree, leaf_hash, node_hash
from audit.verify import Tampered
from tests.laws.corpus import CORPUS, needs_corpus

SIZES = st.integers(1, 3000)
LEAVES = [leaf_hash(str(number).encode()) for number in range(10_000)]


class InMemory:
    """The kept hashes of a tree, in lists."""

    def __init__(self, leaves):
        self.levels = {0: leaves}
        frontier = Frontier()
        for node in frontier.extend(leaves):
            self.levels.setdefault(node.level, []).append(node.hash)

    def hashes(self, level, first, count):
        assert level % LEVEL_STEP == 0
        found = self.levels[level][first : first + count]
        assert len(found) == count
        return found


NODES = InMemory(LEAVES)


def root_by_definition(leaves):
    """The Merkle tree hash exactly as section 2.1.1 defines it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(root_by_definition(leaves[:split]), root_by_definition(leaves[split:]))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


class TestRoot:
    @pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 8, 255, 256, 257, 1000])
    def test_is_that_of_the_definition(self, size):
        grown = Frontier()
        grown.extend(LEAVES[:size])

        assert Tree(NODES, size).root() == grown.root() == root_by_definition(LEAVES[:size])

    @given(SIZES, SIZES)
    def test_is_the_same_in_one_step_or_several(self, first, rest):
        tree = Tree(NODES, first)
        frontier = tree.frontier()

        frontier.extend(LEAVES[first : first + rest])

        assert frontier.root() == Tree(NODES, first + rest).root()

    def test_of_nothing(self):
        assert Frontier().root() == EMPTY_ROOT == Tree(NODES, 0).root()


class TestInclusion:
    @given(st.data())
    def test_every_proof_holds_and_every_mutated_one_fails(self, data):
        size = data.draw(st.integers(1, 10_000))
        index = data.draw(st.integers(0, size - 1))
        tree = Tree(NODES, size)
        path, root = tree.inclusion_proof(index), tree.root()

        verify.check_inclusion(LEAVES[index], index, size, path, root)

        bit = data.draw(st.integers(0, 255))
        mutants = [
            (flipped(LEAVES[index], bit), index, path, root),
            (LEAVES[index], index, path, flipped(root, bit)),
            (LEAVES[index], index, [*path, root], root),
        ]
        if path:
            at = data.draw(st.integers(0, len(path) - 1))
            changed = [*path[:at], flipped(path[at], bit), *path[at + 1 :]]
            mutants += [
                (LEAVES[index], index, changed, root),
                (LEAVES[index], index, path[:-1], root),
                (LEAVES[index], index ^ 1 if index ^ 1 < size else index - 1, path, root),
            ]
        for leaf, place, steps, head in mutants:
            with pytest.raises(Tampered):
                verify.check_inclusion(leaf, place, size, steps, head)

    def test_of_a_leaf_that_is_not_there(self):
        with pytest.raises(OutsideTree):
            Tree(NODES, 5).inclusion_proof(5)


class TestConsistency:
    @given(st.data())
    def test_every_proof_holds_and_every_mutated_one_fails(self, data):
        later = data.draw(st.integers(2, 10_000))
        earlier = data.draw(st.integers(1, later - 1))
        tree, before = Tree(NODES, later), Tree(NODES, earlier)
        proof, old, new = tree.consistency_proof(earlier), before.root(), tree.root()

        verify.check_consistency(earlier, later, proof, old, new)

        bit, at = data.draw(st.integers(0, 255)), data.draw(st.integers(0, len(proof) - 1))
        for steps, first, second in [
            ([*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]], old, new),
            (proof[:-1], old, new),
            ([*proof, old], old, new),
            (proof, flipped(old, bit), new),
            (proof, old, flipped(new, bit)),
        ]:
            with pytest.raises(Tampered):
                verify.check_consistency(earlier, later, steps, first, second)

    def test_two_heads_of_one_size_are_a_fork(self):
        with pytest.raises(Tampered, match="forked"):
            verify.check_consistency(3, 3, [], LEAVES[0], LEAVES[1])


class TestRemainder:
    @settings(max_examples=60)
    @given(st.data())
    def test_with_the_leaves_shown_gives_the_root_and_nothing_else_does(self, data):
        size = data.draw(st.integers(1, 600))
        shown = data.draw(st.sets(st.integers(0, size - 1), max_size=40))
        ranges = _ranges(sorted(shown))
        tree = Tree(NODES, size)
        rest = list(tree.remainder(ranges))
        leaves = [LEAVES[index] for index in sorted(shown)]

        assert verify.reckon(size, ranges, leaves, rest) == tree.root()

        with pytest.raises(Tampered):
            verify.reckon(size, ranges, leaves, [*rest, tree.root()])
        if rest:
            with pytest.raises(Tampered):
                verify.reckon(size, ranges, leaves, rest[:-1])
        if leaves:
            swapped = [flipped(leaves[0], 3), *leaves[1:]]
            assert verify.reckon(size, ranges, swapped, rest) != tree.root()


def _ranges(indexes):
    ranges: list[tuple[int, int]] = []
    for index in indexes:
        if ranges and ranges[-1][1] == index:
            ranges[-1] = (ranges[-1][0], index + 1)
        else:
            ranges.append((index, index + 1))
    return ranges


@needs_corpus
class TestVectors:
    """Those of transparency-dev/merkle, good and bad."""

    @pytest.mark.parametrize(
        "path", sorted((CORPUS / "merkle").glob("*/*/*.json")), ids=lambda path: path.stem
    )
    def test_is_judged_as_the_others_judge(self, path):
        vector = json.loads(path.read_text())
        proof = [base64.b64decode(step) for step in vector["proof"] or []]

        try:
            if "leafIdx" in vector:
                verify.check_inclusion(
                    base64.b64decode(vector["leafHash"]),
                    vector["leafIdx"],
                    vector["treeSize"],
                    proof,
                    base64.b64decode(vector["root"] or ""),
                )
            else:
                verify.check_consistency(
                    vector["size1"],
                    vector["size2"],
                    proof,
                    base64.b64decode(vector["root1"] or ""),
                    base64.b64decode(vector["root2"] or ""),
                )
            is_wrong = False
        except Tampered:
            is_wrong = True

        assert is_wrong == vector["wantErr"]
