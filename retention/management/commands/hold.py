"""Opens matters, names handlers, places and lifts holds: manage.py hold place|lift …."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import DatabaseError, IntegrityError
from django.db.models import Q

from accounts.models import Controller, User
from audit import clock
from audit.management.opened import check_open
from recordings.keyring import FileKeyring, KeyDoesNotFit, KeyMissing, KeyringUnavailable
from retention.models import Matter
from retention.operations import holds
from retention.permissions import NotEntitled

EXAMPLE = """
Example:
  manage.py hold open --company vakka --code dispute-17 --name "Dispute 17" \\
      --reason "The customer disputes the decision of 3 May." --as bea@vakka.test
  manage.py hold handler dispute-17 hanna@vakka.test --as bea@vakka.test
  manage.py hold place dispute-17 0199c2f0-5b6e-7cc1-8f60-2f1f4f0d3f11 --as bea@vakka.test
  manage.py hold lift dispute-17 --all --as bea@vakka.test
  manage.py hold close dispute-17 --as bea@vakka.test

A matter is named by its code or its id. --as names the compliance officer who answers for it.
Exit code 0: done. 1: a hold came too late for a conversation. 2: wrong use or not entitled.
"""
_REFUSALS = (
    NotEntitled,
    holds.MatterClosed,
    holds.NotOfThisCompany,
    KeyringUnavailable,
    KeyMissing,
    KeyDoesNotFit,
)
Answer = dict[str, object]


class Command(BaseCommand):
    """Places and lifts holds."""

    help = "Open a matter, name its handlers, place and lift its holds, close it."

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
        naming = deeds.add_parser("handler", help="name a handler of a matter")
        naming.add_argument("matter", metavar="MATTER")
        naming.add_argument("email", metavar="EMAIL")
        placing = deeds.add_parser("place", help="hold conversations")
        placing.add_argument("matter", metavar="MATTER")
        placing.add_argument("conversations", nargs="+", type=UUID, metavar="CONVERSATION")
        lifting = deeds.add_parser("lift", help="lift holds")
        lifting.add_argument("matter", metavar="MATTER")
        lifting.add_argument("conversations", nargs="*", type=UUID, metavar="CONVERSATION")
        lifting.add_argument("--all", action="store_true", help="all that the matter holds")
        closing = deeds.add_parser("close", help="close a matter and lift its holds")
        closing.add_argument("matter", metavar="MATTER")
        for deed in (opening, naming, placing, lifting, closing):
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
            "lift": _lift,
            "close": _close,
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


def _lift(officer: User, options: dict[str, Any]) -> Answer:
    if bool(options["conversations"]) == options["all"]:
        raise CommandError("Name conversations, or say --all.", returncode=2)
    lifted = holds.lift_hold(
        matter=_matter(options["matter"]),
        conversation_ids="all" if options["all"] else options["conversations"],
        lifted_by=officer,
        keyring=FileKeyring.from_settings(),
        now=clock.now(),
    )
    return {"lifted": lifted}


def _close(officer: User, options: dict[str, Any]) -> Answer:
    lifted = holds.close_matter(
        matter=_matter(options["matter"]),
        closed_by=officer,
        keyring=FileKeyring.from_settings(),
        now=clock.now(),
    )
    return {"lifted": lifted}


def _person(email: str) -> User:
    user = User.objects.filter(email__iexact=email, is_active=True).first()
    if user is None:
        raise CommandError("Nobody here has that e-mail address.", returncode=2)
    return user


def _matter(name: str) -> Matter:
    wanted = Q(code=name)
    with suppress(ValueError):
        wanted |= Q(pk=UUID(name))
    found = list(Matter.objects.filter(wanted)[:2])
    if len(found) != 1:
        raise CommandError(
            f"{'No' if not found else 'More than one'} matter is called {name}.", returncode=2
        )
    return found[0]
