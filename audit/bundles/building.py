"""Makes a bundle, a part at a time: no more than a few parts are in memory, however long it is."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connections

from audit import proofs, trees, verify
from audit.bundles.copies import SUFFIXES, Format, read_columns, written
from audit.bundles.orders import Order
from audit.bundles.selection import Selection, Shown, select
from audit.bundles.sinks import Folder, Sink
from audit.events import EventType
from audit.fact_forms import instant
from audit.models import Checkpoint, Delivery, Event
from audit.notes import encoded

EVENTS_PER_PART = 20_000
# In memory at most, before it is waited for the first of them.
PARTS_AT_ONCE = 2
# To so many earlier bundles of the log a later one proves that it continues them.
CONTINUED_BUNDLES = 40
_READMES = Path(__file__).with_name("readme")


@dataclass(slots=True)
class Built:
    """What has been written of a bundle so far."""

    files: list[dict[str, Any]] = field(default_factory=list)
    ranges: list[list[int]] = field(default_factory=list)
    events: int = 0
    outside: int = 0
    at: int = 0  # leaves of the selection that are done

    def add(self, part: dict[str, Any]) -> None:
        """Take in a part."""
        self.files += part["files"]
        for first, last in part["ranges"]:
            if self.ranges and self.ranges[-1][1] == first:
                self.ranges[-1][1] = last
            else:
                self.ranges.append([first, last])
        self.events += part["events"]
        self.at = part["at"]


def build(order: Order, sink: Sink) -> Iterator[int | Built]:
    """
    Write all files of a bundle but the manifest; gives how many events each step has written.

    Into a folder that was begun before it goes on where it stopped. The last thing given is what
    was built.

    Raises `audit.trees.TreeIncomplete`, `django.db.DatabaseError`, OSError.
    """
    head = Checkpoint.objects.get(log=order.log, size=order.size)
    selection = select(wanted=order.wanted, size=order.size)
    built = Built()
    with _reader() as reader, ThreadPoolExecutor(max_workers=1) as writer:
        for part in _parts(order, selection, sink, reader, writer):
            built.add(part)
            yield part["events"]
    if selection.inside is not None:
        built.outside = built.events - selection.inside
    for name, content in _frame(order, head, built).items():
        sink.write(name, content)
        built.files.append(_entry(name, content))
    yield built


def manifest(order: Order, built: Built) -> bytes:
    """Write the manifest: what was asked for, what there is, and the digest of every file."""
    head = Checkpoint.objects.get(log=order.log, size=order.size)
    # Where nothing was left out on purpose, and nothing has been cut from the log since.
    is_all = set(order.query) <= {"from", "until"} and len(built.ranges) <= 1
    said = {
        "format": verify.BUNDLE_FORMAT,
        "log": order.log,
        "query": order.query,
        "export": str(order.export),
        "exported_at": instant(order.now),
        "is_all": is_all,
        "events": built.events,
        "outside": built.outside,
        "tree": {"origin": head.origin, "size": head.size, "root": bytes(head.root).hex()},
        "continues": _continued(order),
        "files": built.files,
    }
    return (json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode()


@contextmanager
def _reader() -> Iterator[Executor]:
    """Give a thread that has a connection to the database of its own for as long."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        try:
            yield thread
        finally:
            thread.submit(connections.close_all).result()


def _parts(
    order: Order, selection: Selection, sink: Sink, reader: Executor, writer: Executor
) -> Iterator[dict[str, Any]]:
    """Write part after part: while one is written, its columns and the next are read beside."""
    pending: deque[Future[dict[str, Any]]] = deque()
    at = number = 0
    while at < selection.count:
        number += 1
        part = _noted(sink, number)
        if part is None:
            shown = selection.stretch(at, EVENTS_PER_PART)
            columns = reader.submit(read_columns, order.form, log=order.log, shown=shown)
            at = min(at + EVENTS_PER_PART, selection.count)
            pending.append(writer.submit(_write_part, order, sink, number, shown, columns, at))
        while pending and (part or len(pending) == PARTS_AT_ONCE):
            yield pending.popleft().result()
        if part:
            at = part["at"]
            yield part
    while pending:
        yield pending.popleft().result()


def _noted(sink: Sink, number: int) -> dict[str, Any] | None:
    return sink.noted(f"{number:06}") if isinstance(sink, Folder) else None


def _write_part(
    order: Order, sink: Sink, number: int, shown: Shown, columns: Future[bytes], at: int
) -> dict[str, Any]:
    contents = {
        f"events/{number:06}.jsonl": shown.bodies,
        f"events/{number:06}.leaves": shown.hashes,
    }
    if order.form is not Format.JSONL:
        contents[f"copy/{number:06}.{SUFFIXES[order.form]}"] = written(
            order.form, log=order.log, shown=shown, columns=columns.result()
        )
    for name, content in contents.items():
        sink.write(name, content)
    files = [_entry(name, content) for name, content in contents.items()]
    files[0] |= {"events": len(shown.indexes), "leaves": files[1]["path"]}
    part = {
        "files": files,
        "ranges": _ranges(shown.indexes),
        "events": len(shown.indexes),
        "at": at,
    }
    if isinstance(sink, Folder):
        sink.note(f"{number:06}", part)
    return part


def _frame(order: Order, head: Checkpoint, built: Built) -> dict[str, bytes]:
    """Give what surrounds the events: head, keys, proof, verifier, and what to do with it."""
    rest = trees.tree(log=order.log, size=order.size).remainder(
        (first, last) for first, last in built.ranges
    )
    proof = [
        verify.BUNDLE_PROOF_HEAD,
        f"size {order.size}",
        *(f"leaves {first} {last}" for first, last in built.ranges),
        "",
        *map(encoded, rest),
        "",
    ]
    introductions = proofs.introductions(log=order.log)
    return {
        verify.CHECKPOINT: trees.cosigned_note(head).encode(),
        verify.KEYS: "".join(f"{key}\n" for key in proofs.public_keys(log=order.log)).encode(),
        verify.PROOF: "\n".join(proof).encode(),
        **{
            f"keys/{number:06}.tlog-proof": text.encode()
            for number, text in enumerate(introductions, start=1)
        },
        **{
            f"{verify.WITNESSED}{earlier.size:020d}.txt": _continued_from(earlier, head).encode()
            for earlier in trees.witnessed_heads(head=head)
        },
        "verify.py": Path(verify.__file__).read_bytes(),
        **{path.name: path.read_bytes() for path in sorted(_READMES.glob("*.txt"))},
    }


def _continued_from(earlier: Checkpoint, head: Checkpoint) -> str:
    """Write the proof that the head continues an earlier one, and that one as it was cosigned."""
    steps = trees.tree(log=head.log, size=head.size).consistency_proof(earlier.size)
    return "\n".join([*map(encoded, steps), "", trees.cosigned_note(earlier)])


def _continued(order: Order) -> list[dict[str, object]]:
    made = Event.objects.filter(log=order.log, event_type=EventType.BUNDLE_COMPLETED)
    bodies = list(
        made.order_by("-happened_at", "-id").values_list("body", flat=True)[:CONTINUED_BUNDLES]
    )
    # The newest month that was delivered, however many other exports came after it.
    month = Delivery.objects.filter(log=order.log).exclude(manifest_digest="").order_by("month")
    if newest := month.last():
        bodies += made.filter(body__contains=newest.manifest_digest).values_list("body", flat=True)
    sizes = {json.loads(body)["x"]["size"] for body in bodies}
    tree = trees.tree(log=order.log, size=order.size)
    return [
        {"size": size, "proof": [encoded(step) for step in tree.consistency_proof(size)]}
        for size in sorted(sizes)
        if size < order.size
    ]


def _ranges(indexes: Sequence[int]) -> list[list[int]]:
    if isinstance(indexes, range):
        return [[indexes.start, indexes.stop]]
    ranges: list[list[int]] = []
    for index in indexes:
        if ranges and ranges[-1][1] == index:
            ranges[-1][1] += 1
        else:
            ranges.append([index, index + 1])
    return ranges


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {
        "path": name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
