"""Witnesses cosign anchored heads, or refuse a rewritten log; none of them stops sealing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import override_settings

from audit import anchoring, clock, posting, proofs, queries, trees, verify
from audit.bundles.copies import Format
from audit.events import Actor, EventType
from audit.models import Checkpoint, Cosignature, Event
from audit.operations.anchoring import anchor, check_leads_on, restart
from audit.operations.exporting import to_folder
from audit.operations.sealing import Sealer, introduce_key
from audit.operations.witnessing import Witnessing
from audit.sealing_keys import SealingKeys
from audit.verification.checking import verify_log
from audit.verification.verdicts import State
from audit.witnesses import NotCosigned, Refusal, Witness, configured
from tests.audit.given import events, go_back_to, happened, run, signed_in
from tests.harness.sealer import sealed_meanwhile
from tests.harness.session import ROOT
from tests.harness.witness import TestWitness, running

LOG = "installation"


@pytest.fixture
def keys(stage, tmp_path):
    with stage.acting_as("seal"):
        made = SealingKeys(tmp_path / "seal-keys")
        introduce_key(keys=made, now=clock.now())
        yield made


@pytest.fixture
def witness(keys):
    with running() as made:
        seal_and_anchor(keys, 2)
        introduce(made)
        yield made


def introduce(witness):
    for key in proofs.public_keys(log=LOG):
        witness.known.setdefault(key.partition("+")[0], []).append(key)


def seal_and_anchor(keys, count):
    for _ in range(count):
        happened(signed_in())
    Sealer(keys).seal(log=LOG, now=clock.now())
    anchor(log=LOG, store=anchoring.writer(), now=clock.now())


def of(*made):
    asked = [Witness(each.vkey, each.url) for each in made]
    return Witnessing(asked, anchoring.writer())


def have_witnessed(*made):
    work = of(*made)
    work.begin(log=LOG)
    work.finish(now=clock.now())
    work.close()


@pytest.mark.django_db
class TestCosignature:
    def test_is_kept_and_lies_locked_beside_the_anchor(self, keys, witness):
        have_witnessed(witness)

        kept = Cosignature.objects.get()
        head = Checkpoint.objects.get(log=LOG, size=kept.size)
        assert kept.size == 3
        assert abs((kept.witnessed_at - clock.now()).total_seconds()) < 5
        reader = anchoring.reader()
        ((key, version),) = reader.oldest_versions(kept.anchor_key)
        note = reader.read(key, version).decode()
        assert note == trees.cosigned_note(head)
        assert verify.open_note(note, proofs.public_keys(log=LOG)).size == 3
        assert verify.cosigned_at(note, witness.vkey) == kept.witnessed_at.timestamp()
        # The anchor itself is as it was, and leads on.
        assert [note for _place, note in anchoring.anchored(reader, log=LOG)] == [head.note]
        check_leads_on(log=LOG, store=reader)

    def test_of_a_head_is_asked_for_once(self, keys, witness):
        have_witnessed(witness)
        have_witnessed(witness)

        assert witness.asked == [0]

    def test_of_the_next_head_needs_a_proof_from_the_last(self, keys, witness):
        have_witnessed(witness)
        seal_and_anchor(keys, 4)
        have_witnessed(witness)

        assert witness.asked == [0, 3]
        assert list(Cosignature.objects.order_by("size").values_list("size", flat=True)) == [3, 7]

    @pytest.mark.parametrize("is_of_same_size", [True, False])
    def test_is_asked_for_again_from_where_the_witness_is(self, keys, witness, is_of_same_size):
        head = trees.newest_checkpoint(log=LOG)
        Witness(witness.vkey, witness.url).ask(note=head.note, earlier=0, proof=[])
        if not is_of_same_size:
            seal_and_anchor(keys, 3)

        have_witnessed(witness)

        assert witness.asked == [0, 0, 3]
        assert Cosignature.objects.get().size == (3 if is_of_same_size else 6)

    def test_asked_for_by_two_sealers_is_kept_once(self, keys, witness):
        works = of(witness), of(witness)
        for work in works:
            work.begin(log=LOG)
        for work in works:
            work.finish(now=clock.now())
            work.close()

        assert Cosignature.objects.get().size == 3

    def test_of_a_later_head_by_another_sealer_is_no_incident(self, keys, witness):
        late, head = of(witness), trees.newest_checkpoint(log=LOG)
        seal_and_anchor(keys, 2)
        have_witnessed(witness)

        late._ask(late.witnesses[0], head, 0)
        late.finish(now=clock.now())
        late.close()

        assert Cosignature.objects.get().size == 5
        assert not events(EventType.INCIDENT_RAISED).exists()

    def test_outlasts_a_row_that_was_lost(self, keys, witness, stage):
        have_witnessed(witness)
        with stage.acting_as("owner"):
            run("ALTER TABLE audit_cosignature DISABLE TRIGGER USER")
            run("DELETE FROM audit_cosignature")
            run("ALTER TABLE audit_cosignature ENABLE TRIGGER USER")

        have_witnessed(witness)

        assert Cosignature.objects.count() == 1

    def test_is_never_altered(self, keys, witness, stage):
        have_witnessed(witness)

        with stage.acting_as("owner"):
            for statement in ("DELETE FROM", "TRUNCATE"):
                with pytest.raises(Exception, match="never altered"), transaction.atomic():
                    run(f"{statement} audit_cosignature")

    def test_begins_anew_with_a_log_that_was_restarted(self, keys, witness, stage):
        seal_and_anchor(keys, 4)
        have_witnessed(witness)
        with stage.acting_as("owner"):
            go_back_to(3)
        restart(log=LOG, store=anchoring.reader(), actor=Actor.system("command"), now=clock.now())
        seal_and_anchor(keys, 1)
        introduce(witness)

        have_witnessed(witness)

        assert witness.asked == [0, 0]
        assert Cosignature.objects.get().size == 5


@pytest.mark.django_db
class TestMissingWitness:
    def fails(self, witness, how):
        if how == "down":
            witness.url = "http://127.0.0.1:9/w"
        elif how == "hangs":
            witness.hangs.set()
        elif how == "signs with another key":
            witness.signer = TestWitness("w").key
        elif how == "knows no such log":
            witness.known = {}
        elif how == "knows another key":
            witness.known = {name: [] for name in witness.known}
        elif how == "lives in the future":
            witness.ahead_seconds = 24 * 3600
        elif how == "does not say what it saw":
            witness.garbage = 409, b""
        elif how == "redirects":
            witness.garbage = 302, b""
        elif how == "says too much":
            witness.garbage = 200, b"\n" * (posting.MOST_BYTES + 1)
        else:
            witness.garbage = (
                200,
                "— witness.example/w1 AAAA\n\x00\xff".encode("latin-1", "replace"),
            )

    @pytest.mark.parametrize(
        ("how", "kind"),
        [
            ("down", Refusal.SILENT),
            ("hangs", Refusal.SILENT),
            ("signs with another key", Refusal.SILENT),
            ("lives in the future", Refusal.SILENT),
            ("says too much", Refusal.SILENT),
            ("says nonsense", Refusal.SILENT),
            ("redirects", Refusal.SILENT),
            ("does not say what it saw", Refusal.NOT_UNDERSTOOD),
            ("knows no such log", Refusal.UNKNOWN_LOG),
            ("knows another key", Refusal.UNKNOWN_KEY),
        ],
    )
    def test_stops_no_other_and_is_an_incident_after_an_hour(
        self, keys, witness, monkeypatch, how, kind
    ):
        monkeypatch.setattr(posting, "ANSWER_SECONDS", 0.2)
        self.fails(witness, how)
        now = clock.now()
        with running("witness.example/w2") as other:
            introduce(other)
            work = of(witness, other)
            for later in (0, 59, 61, 62):
                work.begin(log=LOG)
                work.finish(now=now + timedelta(minutes=later))
                raised = events(EventType.INCIDENT_RAISED).count()
                assert raised == (1 if later > 60 else 0)
            work.close()

        assert Cosignature.objects.get().witness == other.vkey
        assert f'"kind":"{kind.value}"' in events(EventType.INCIDENT_RAISED).get().body

    def test_that_hangs_is_not_waited_for(self, keys, witness):
        witness.hangs.set()
        work = of(witness)

        began = time.monotonic()
        for _ in range(20):
            work.begin(log=LOG)
            work.collect(now=clock.now())
        took = time.monotonic() - began
        witness.is_over.set()
        work.finish(now=clock.now())
        work.close()

        assert took < posting.ANSWER_SECONDS / 2
        assert not Cosignature.objects.exists()


@pytest.mark.django_db
class TestRewrittenLog:
    def test_is_refused_by_the_witness_and_an_incident_at_once(self, keys, witness, stage):
        seal_and_anchor(keys, 4)
        have_witnessed(witness)
        with stage.acting_as("owner"):
            go_back_to(3)
        seal_and_anchor(keys, 9)  # other events than it has seen, signed with the right key

        have_witnessed(witness)

        assert witness.asked == [0, 0, 7]
        assert not Cosignature.objects.exists()
        incident = events(EventType.INCIDENT_RAISED).get()
        assert f'"kind":"{Refusal.INCONSISTENT.value}"' in incident.body
        with stage.acting_as("work"):
            verdict = verify_log(log=LOG, now=clock.now(), reader=anchoring.reader())
        assert verdict.state is State.TAMPERED

    def test_that_is_shorter_now_is_refused_too(self, keys, witness, stage):
        seal_and_anchor(keys, 4)
        have_witnessed(witness)
        with stage.acting_as("owner"):
            go_back_to(3)

        have_witnessed(witness)

        assert f'"{Refusal.INCONSISTENT.value}"' in events(EventType.INCIDENT_RAISED).get().body

    def test_of_the_same_size_is_refused(self, keys, witness, stage):
        seal_and_anchor(keys, 4)
        have_witnessed(witness)
        with stage.acting_as("owner"):
            go_back_to(3)
        seal_and_anchor(keys, 4)
        head = trees.newest_checkpoint(log=LOG)

        with pytest.raises(NotCosigned) as refused:
            Witness(witness.vkey, witness.url).ask(note=head.note, earlier=7, proof=[])

        assert (head.size, refused.value.refusal) == (7, Refusal.INCONSISTENT)


@pytest.mark.django_db
class TestChecking:
    def checked(self, stage):
        with stage.acting_as("work"):
            return verify_log(log=LOG, now=clock.now(), reader=anchoring.reader())

    def test_says_how_many_heads_each_has_witnessed(self, keys, witness, stage):
        have_witnessed(witness)
        seal_and_anchor(keys, 1)
        have_witnessed(witness)

        verdict = self.checked(stage)

        assert verdict.state is State.INTACT, verdict.faults
        (said,) = verdict.attested.values()
        assert str(said).startswith("witnessed by witness.example/w1: 2 heads, the newest of 4 ")

    @pytest.mark.parametrize(
        "change",
        [
            "witnessed_at = witnessed_at - interval '1 second'",
            "lines = overlay(lines placing 'A' from length(lines) - 20)",
            f"witness = '{TestWitness('witness.example/w1').vkey}'",
        ],
        ids=["time", "signature", "witness"],
    )
    def test_finds_a_cosignature_that_was_altered(self, keys, witness, stage, change):
        have_witnessed(witness)
        with stage.acting_as("owner"):
            run("ALTER TABLE audit_cosignature DISABLE TRIGGER USER")
            run(f"UPDATE audit_cosignature SET {change}")
            run("ALTER TABLE audit_cosignature ENABLE TRIGGER USER")

        verdict = self.checked(stage)

        assert "was not cosigned so by witness.example/w1" in str(verdict.faults[0])


@pytest.mark.django_db
class TestOffline:
    @pytest.fixture
    def bundle(self, keys, witness, stage, tmp_path):
        have_witnessed(witness)
        happened(signed_in())
        with stage.acting_as("seal"), sealed_meanwhile(tmp_path / "seal-keys"):
            with stage.acting_as("work"):
                for _step in to_folder(
                    target=tmp_path / "bundle",
                    wanted=queries.Filter(logs=[None]),
                    form=Format.JSONL,
                    actor=Actor.system("test"),
                    now=clock.now(),
                ):
                    pass
        return tmp_path / "bundle"

    def checked(self, path, *witnesses, **others):
        return verify.check_bundle(
            str(path), proofs.public_keys(log=LOG), witnesses=witnesses, **others
        )

    def test_a_bundle_proves_that_it_continues_what_was_witnessed(self, witness, bundle):
        (said,) = self.checked(bundle, witness.vkey).witnessed

        assert said.startswith("witnessed by witness.example/w1 at 2")
        assert said.endswith("the head of 3 events")
        assert len(list((bundle / "witnessed").iterdir())) == 1

    def test_a_witness_that_did_not_see_it_is_said_to_be_missing(self, bundle):
        with pytest.raises(verify.Incomplete, match=r"unseen\.example has cosigned no head"):
            self.checked(bundle, TestWitness("unseen.example").vkey)

    def test_an_anchored_cosignature_of_a_head_on_the_way_counts_too(self, bundle):
        with running("witness.example/w2") as later:
            introduce(later)
            have_witnessed(later)
        note = trees.cosigned_note(Checkpoint.objects.get(log=LOG, size=3))

        (said,) = self.checked(bundle, later.vkey, anchors=[note]).witnessed

        assert said.startswith("witnessed by witness.example/w2")
        with pytest.raises(verify.Incomplete):
            self.checked(bundle, later.vkey)

    def test_another_head_is_not_taken_for_one_it_continues(self, keys, witness, bundle):
        (path,) = (bundle / "witnessed").iterdir()
        steps = path.read_text().partition("\n\n")[0]
        other = Checkpoint.objects.filter(log=LOG).earliest("size").note
        path.write_text(f"{steps}\n\n{other}".replace("\n3\n", "\n2\n"))

        with pytest.raises(verify.Tampered):
            self.checked(bundle, witness.vkey)

    def test_the_program_says_it(self, witness, bundle):
        key = bundle.with_name("keys.txt")
        key.write_text("\n".join(proofs.public_keys(log=LOG)))
        command = [sys.executable, bundle / "verify.py", bundle, "--key", key]

        done = subprocess.run(
            [*command, "--witness", witness.vkey], capture_output=True, text=True, check=False
        )

        assert done.returncode == verify.INTACT, done.stderr
        assert "witnessed by witness.example/w1 at 2" in done.stdout

    def test_the_proof_of_an_event_is_by_a_witnessed_head(self, keys, witness):
        have_witnessed(witness)
        event = Event.objects.earliest("id")
        seal_only = happened(signed_in())
        Sealer(keys).seal(log=LOG, now=clock.now())

        proof = verify.parse_proof(proofs.prove(event_id=event.event_id))
        later = verify.parse_proof(proofs.prove(event_id=seal_only.event_id))

        assert verify.cosigned_at(proof.note, witness.vkey)
        with pytest.raises(verify.Incomplete):
            verify.cosigned_at(later.note, witness.vkey)

    def test_no_byte_of_a_cosigned_note_can_be_changed(self, keys, witness):
        have_witnessed(witness)
        note = trees.cosigned_note(trees.newest_checkpoint(log=LOG)).encode()
        trusted = proofs.public_keys(log=LOG)

        for at in range(len(note)):
            changed = (note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :]).decode(errors="replace")
            with pytest.raises((verify.Tampered, verify.Incomplete)):
                verify.open_note(changed, trusted)
                verify.cosigned_at(changed, witness.vkey)


class TestFormat:
    def test_a_cosignature_names_its_key_as_the_specification_says(self):
        # The example of C2SP tlog-cosignature: it was given at 1679315147.
        note = (
            "example.com/behind-the-sofa\n20852163\n"
            "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
            "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dl"
            "rDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
        )

        _text, ((name, key_id, signature),) = verify._signatures(note)

        assert (name, key_id.hex()) == ("witness.example.com/w1", "8d66cf3f")
        assert int.from_bytes(signature[:8], "big") == 1679315147
        assert len(signature) == 72


class TestSetting:
    def test_names_key_and_address_of_each(self):
        first, second = TestWitness("a.example"), TestWitness("b.example")
        given = [f"{first.vkey} https://a.example/w/", f" {second.vkey} http://b.example"]

        with override_settings(AUDIT_WITNESSES=given):
            found = configured()

        assert [(one.name, one.url) for one in found] == [
            ("a.example", "https://a.example/w"),
            ("b.example", "http://b.example"),
        ]

    @pytest.mark.parametrize(
        "line",
        ["", "a.example+00000000+AAAA https://a.example", f"{TestWitness('a').vkey} a.example"],
        ids=["empty", "no key", "no address"],
    )
    def test_that_is_no_witness_is_refused(self, line):
        with override_settings(AUDIT_WITNESSES=[line]), pytest.raises(ImproperlyConfigured):
            configured()


@pytest.mark.django_db
class TestCommand:
    def test_seals_on_while_one_witness_hangs_and_another_cosigns(self, stage, witness):
        with running("witness.example/w2") as hanging:
            hanging.hangs.set()
            named = ",".join(f"{each.vkey} {each.url}" for each in (hanging, witness))
            sealer = subprocess.Popen(
                [sys.executable, "manage.py", "seal_audit"],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **stage.environment("seal")}
                | {"AUDIT_WITNESSES": named, "AUDIT_SEAL_INTERVAL_SECONDS": "0.05"},
            )
            try:
                wait_until(lambda: Cosignature.objects.filter(witness=witness.vkey).exists())
                event = happened(signed_in())
                wait_until(lambda: trees.leaf_of(event=event.id) is not None)
                is_hanging = not hanging.is_over.is_set()
            finally:
                hanging.is_over.set()
                sealer.terminate()

        assert sealer.wait(timeout=10) == 0
        assert is_hanging
        assert Cosignature.objects.count() == 1


def wait_until(has_come):
    deadline = time.monotonic() + 20
    while not has_come():
        assert time.monotonic() < deadline
        time.sleep(0.02)
