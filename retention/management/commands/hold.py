"""Opens matters, places holds, proposes to lift them and agrees: manage.py hold place|lift …."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import DatabaseError, IntegrityError
from django.db.models import Q, QuerySet

from accounts.models import Controller, Queue, Source, Team, User
from audit import clock
from audit.management.opened import check_open
from recordings.keyring import FileKeyring, KeyDoesNotFit, KeyMissing, KeyringUnavailable
from recordings.models import Conversation
from retention.due_dates import begins_at
from retention.models import Criterion, Lifting, Matter
from retention.operations import criteria, holds, liftings
from retention.permissions import NotEntitled

EXAMPLE = """
Example:
  manage.py hold open --company vakka --code dispute-17 --name "Dispute 17" \\
      --reason "The customer disputes the decision of 3 May." --review-on 2027-05-01 \\
      --as bea@vakka.test
  manage.py hold handler dispute-17 hanna@vakka.test --as bea@vakka.test
  manage.py hold place dispute-17 0199c2f0-5b6e-7cc1-8f60-2f1f4f0d3f11 --as bea@vakka.test
  manage.py hold match dispute-17 --kind call --team claims --from 2026-05-01 --to 2026-05-31 \\
      --as bea@vakka.test
  echo +358401234567 | manage.py hold match dispute-17 --customer tel --as bea@vakka.test
  manage.py hold review dispute-17 --next 2027-11-01 --reason "On appeal." --as bea@vakka.test
  manage.py hold lift dispute-17 --all --reason "Settled." --as bea@vakka.test
  manage.py hold agree LIFTING --as bo@vakka.test

A matter is named by its code or its id. --as names the compliance officer who answers for it.
match holds what is there and what is captured later; a worker places the holds, and nothing that
matches is destroyed meanwhile. lift, drop and close only propose: what they name stays held until
another person agrees to what they answer with.
Exit code 0: done. 1: a hold came too late for a conversation. 2: wrong use or not entitled.
"""
_REFUSALS = (
    NotEntitled,
    holds.MatterClosed,
    holds.NotOfThisCompany,
    holds.ReviewNotInTime,
    criteria.CriterionSaysNothing,
    criteria.EndsBeforeItBegins,
    liftings.NothingToLift,
    liftings.ProposedAlready,
    liftings.LiftingSettled,
    liftings.SamePerson,
    liftings.AnotherPerson,
    KeyringUnavailable,
    KeyMissing,
    KeyDoesNotFit,
)
Answer = dict[str, object]


class Command(BaseCommand):
    """Places and lifts holds."""

    help = "Open a matter, name its handlers, place its holds, propose and agree to lift them."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="DEED")
        opening = deeds.add_parser("open", help="open a matter")
        for name in ("company", "code", "name", "reason"):
            opening.add_argument(f"--{name}", required=True)
        opening.add_argument("--review-on", required=True, type=date.fromisoformat, metavar="DATE")
        naming = deeds.add_parser("handler", help="name a handler of a matter")
        naming.add_argument("matter", metavar="MATTER")
        naming.add_argument("email", metavar="EMAIL")
        placing = deeds.add_parser("place", help="hold conversations")
        placing.add_argument("matter", metavar="MATTER")
        placing.add_argument("conversations", nargs="+", type=UUID, metavar="CONVERSATION")
        matching = deeds.add_parser("match", help="hold what matches, now and later")
        matching.add_argument("matter", metavar="MATTER")
        for name, meaning in (
            ("kind", "call or chat"),
            ("team", "a team's slug"),
            ("queue", "a queue's slug"),
        ):
            matching.add_argument(f"--{name}", action="append", default=[], help=meaning)
        matching.add_argument("--source", help="a source's slug")
        matching.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DATE")
        matching.add_argument("--to", dest="last", type=date.fromisoformat, metavar="DATE")
        matching.add_argument("--agent", metavar="EMAIL")
        matching.add_argument(
            "--customer",
            choices=["tel", "mailto"],
            help="a customer known by what standard input says; a keyed hash of it is kept",
        )
        reviewing = deeds.add_parser("review", help="say that a matter was looked at again")
        reviewing.add_argument("matter", metavar="MATTER")
        reviewing.add_argument("--next", required=True, type=date.fromisoformat, metavar="DATE")
        lifting = deeds.add_parser("lift", help="propose to lift holds")
        lifting.add_argument("matter", metavar="MATTER")
        lifting.add_argument("conversations", nargs="*", type=UUID, metavar="CONVERSATION")
        lifting.add_argument("--all", action="store_true", help="all that the matter holds")
        dropping = deeds.add_parser("drop", help="propose to drop a criterion")
        dropping.add_argument("criterion", type=UUID, metavar="CRITERION")
        closing = deeds.add_parser("close", help="propose to close a matter")
        closing.add_argument("matter", metavar="MATTER")
        agreeing = deeds.add_parser("agree", help="agree to what another person proposed")
        taking_back = deeds.add_parser("take-back", help="take back what you proposed")
        for deed in (agreeing, taking_back):
            deed.add_argument("lifting", type=UUID, metavar="LIFTING")
        for deed in (reviewing, lifting, dropping, closing):
            deed.add_argument("--reason", required=True)
        for deed in (
            *(opening, naming, placing, matching, reviewing),
            *(lifting, dropping, closing, agreeing, taking_back),
        ):
            deed.add_argument("--as", dest="officer", required=True, metavar="EMAIL")
            deed.add_argument("--json", action="store_true", help="one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Do one deed, and say what became of it."""
        check_open()
        deeds: dict[str, Callable[[User, dict[str, Any]], Answer]] = {
            "open": _open,
            "handler": _handler,
            "place": _place,
            "match": _match,
            "review": _review,
            "lift": _lift,
            "drop": _drop,
            "close": _close,
            "agree": _agree,
            "take-back": _take_back,
        }
        try:
            answer = deeds[options["deed"]](_person(options["officer"]), options)
        except _REFUSALS as refused:
            raise CommandError(str(refused), returncode=2) from refused
        except IntegrityError:
            raise CommandError(
                "That company has a matter of this code already.", returncode=2
            ) from None
        except DatabaseError:
            raise CommandError(
                "The database or its audit log cannot be written: nothing was changed."
            ) from None
        if options["json"]:
            self.stdout.write(json.dumps(answer, default=str))
        else:
            for name, value in answer.items():
                count = len(value) if isinstance(value, list) else value
                self.stdout.write(f"{name.replace('_', ' ')}: {count}")
                if name == "too_late" and isinstance(value, list):
                    for late in value:
                        self.stdout.write(f"  {late['conversation']}  since {late['since']}")
        if answer.get("too_late"):
            raise SystemExit(1)


def _open(officer: User, options: dict[str, Any]) -> Answer:
    controller = Controller.objects.filter(slug=options["company"]).first()
    if controller is None:
        raise CommandError(f"No company is called {options['company']}.", returncode=2)
    matter = holds.open_matter(
        controller=controller,
        code=options["code"],
        name=options["name"],
        reason=options["reason"],
        review_at=_begins(options["review_on"], controller),
        opened_by=officer,
        now=clock.now(),
    )
    return {"matter": str(matter.pk)}


def _handler(officer: User, options: dict[str, Any]) -> Answer:
    matter, handler = _matter(options["matter"]), _person(options["email"])
    holds.add_handler(matter=matter, handler=handler, added_by=officer, now=clock.now())
    return {"matter": str(matter.pk), "handlers": matter.handlers.count()}


def _place(officer: User, options: dict[str, Any]) -> Answer:
    placed = holds.place_hold(
        matter=_matter(options["matter"]),
        conversation_ids=options["conversations"],
        placed_by=officer,
        keyring=FileKeyring.from_settings(),
        now=clock.now(),
    )
    return {
        "placed": placed.placed,
        "held_already": placed.held_already,
        "brought_back": placed.brought_back,
        "too_late": [
            {"conversation": late.conversation_id, "since": late.key_destroyed_at.isoformat()}
            for late in placed.too_late
        ],
    }


def _match(officer: User, options: dict[str, Any]) -> Answer:
    matter = _matter(options["matter"])
    controller, last = matter.controller, options["last"]
    if unknown := set(options["kind"]) - set(Conversation.Kind.values):
        raise CommandError(f"No kind is called {min(unknown)}.", returncode=2)
    queues = Queue.objects.filter(controller=controller)
    sources = Source.objects.filter(controller=controller)
    made = criteria.set_criterion(
        matter=matter,
        draft=criteria.Draft(
            kinds=tuple(options["kind"]),
            teams=tuple(_slugged(Team.objects.all(), slug) for slug in options["team"]),
            queues=tuple(_slugged(queues, slug) for slug in options["queue"]),
            source_id=_slugged(sources, options["source"]) if options["source"] else None,
            ended_from=_begins(options["first"], controller) if options["first"] else None,
            ended_until=_begins(last + timedelta(days=1), controller) if last else None,
            agent=_person(options["agent"]).reference if options["agent"] else None,
            customer_hash=_customer(matter, options["customer"]) if options["customer"] else None,
        ),
        set_by=officer,
        now=clock.now(),
    )
    return {"criterion": str(made.pk), "matching": made.total_count}


def _customer(matter: Matter, kind: str) -> bytes:
    value = sys.stdin.readline().strip()
    if not value:
        raise CommandError("Standard input says nothing of the customer.", returncode=2)
    return criteria.customer_hash(
        matter=matter, kind=kind, value=value, keyring=FileKeyring.from_settings()
    )


def _review(officer: User, options: dict[str, Any]) -> Answer:
    matter = _matter(options["matter"])
    made = holds.review_matter(
        matter=matter,
        next_at=_begins(options["next"], matter.controller),
        reason=options["reason"],
        reviewed_by=officer,
        now=clock.now(),
    )
    return {"matter": str(matter.pk), "next": made.next_at.isoformat()}


def _lift(officer: User, options: dict[str, Any]) -> Answer:
    if bool(options["conversations"]) == options["all"]:
        raise CommandError("Name conversations, or say --all.", returncode=2)
    proposed = liftings.propose_lifting(
        matter=_matter(options["matter"]),
        conversation_ids="all" if options["all"] else options["conversations"],
        reason=options["reason"],
        proposed_by=officer,
        now=clock.now(),
    )
    return {"lifting": str(proposed.pk), "holds": len(proposed.hold_ids)}


def _drop(officer: User, options: dict[str, Any]) -> Answer:
    criterion = Criterion.objects.select_related("matter").filter(pk=options["criterion"]).first()
    if criterion is None:
        raise CommandError("There is no such criterion.", returncode=2)
    proposed = liftings.propose_dropping(
        criterion=criterion, reason=options["reason"], proposed_by=officer, now=clock.now()
    )
    return {"lifting": str(proposed.pk)}


def _close(officer: User, options: dict[str, Any]) -> Answer:
    proposed = liftings.propose_closing(
        matter=_matter(options["matter"]),
        reason=options["reason"],
        proposed_by=officer,
        now=clock.now(),
    )
    return {"lifting": str(proposed.pk)}


def _agree(officer: User, options: dict[str, Any]) -> Answer:
    done = liftings.agree_to_lifting(
        lifting=_lifting(options["lifting"]),
        agreed_by=officer,
        keyring=FileKeyring.from_settings(),
        now=clock.now(),
    )
    return {
        "lifting": str(done.pk),
        "lifted": done.lifted_count,
        "being_lifted": done.total_count - done.lifted_count,
    }


def _take_back(officer: User, options: dict[str, Any]) -> Answer:
    lifting = _lifting(options["lifting"])
    liftings.take_back(lifting=lifting, taken_back_by=officer, now=clock.now())
    return {"lifting": str(lifting.pk)}


def _begins(day: date, controller: Controller) -> datetime:
    return begins_at(day=day, zone=ZoneInfo(controller.time_zone))


def _slugged(rows: QuerySet[Any], slug: str) -> UUID:
    found = rows.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"Nothing is called {slug} there.", returncode=2)
    pk: UUID = found.pk
    return pk


def _lifting(pk: UUID) -> Lifting:
    found = Lifting.objects.select_related("matter").filter(pk=pk).first()
    if found is None:
        raise CommandError("There is no such proposal.", returncode=2)
    return found


def _person(email: str) -> User:
    user = User.objects.filter(email__iexact=email, is_active=True).first()
    if user is None:
        raise CommandError("Nobody here has that e-mail address.", returncode=2)
    return user


def _matter(name: str) -> Matter:
    wanted = Q(code=name)
    with suppress(ValueError):
        wanted |= Q(pk=UUID(name))
    found = list(Matter.objects.select_related("controller").filter(wanted)[:2])
    if len(found) != 1:
        raise CommandError(
            f"{'No' if not found else 'More than one'} matter is called {name}.", returncode=2
        )
    return found[0]
