"""Who gets what answer at which address: computed from the urlconf, and the table checked in."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from django.apps import apps
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from accounts.roles import Role
from audit import clock
from audit.events import Actor
from audit.models import Event
from audit.operations.sealing import Sealer, introduce_key
from audit.operations.searches import save_search
from audit.sealing_keys import SealingKeys
from recordings.models import Conversation
from recordings.objectstore import ObjectStore
from recordings.operations.quarantine import quarantine
from retention.models import Hold, Matter, PurgeRun, RetentionRule
from retention.operations.criteria import Draft, set_criterion
from retention.operations.liftings import propose_dropping
from retention.operations.proposing import Intent
from retention.operations.purge import leases, steps
from retention.operations.purge.run import purge
from retention.operations.rules import propose_retirement
from tests import factories
from tests.factories import Centre
from tests.harness.visitors import BACKEND
from tests.retention.certified import certify
from tests.retention.given import nothing_late
from tests.retention.simulated import simulated

TABLE = Path(__file__).with_name("access_matrix.tsv")
UNKNOWN = UUID(int=0)
PARTS = ("content", "pages", "administrators' site")
# Who is not of the staff is turned away there alike, whatever else she may.
AT_THE_ADMINISTRATORS_SITE = ("nobody", "coach", "compliance_officer", "superuser")
OURS = ("accounts:", "recordings:", "retention:", "audit:")
CONVERSATION = "conversation_id"
DIALOG = "dialog_id"
# The states that a conversation, seen from team Claims at Vakka, can be in.
STATES = (
    *("own", "own_chat", "other_team", "other_company", "held", "ended"),
    *("withdrawn", "destroyed", "unknown"),
)
STATES_TO_POST_AT = ("own", "other_company", "destroyed")
# The log tells of a conversation whatever has become of it.
STATES_TO_TELL_OF = ("own", "destroyed", "unknown")
NO_STATE = "-"

# Row of the table: method, address pattern, state. Column: who asks. Cell: what she is answered.
Key = tuple[str, str, str]
Matrix = dict[Key, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Route:
    """One address pattern of the urlconf."""

    pattern: str
    name: str
    parameters: tuple[str, ...]

    @property
    def part(self) -> str:
        """Which part of the table it belongs to; each is computed by a test of its own."""
        if self.pattern.startswith("admin/"):
            return "administrators' site"
        return "content" if {CONVERSATION, DIALOG} & set(self.parameters) else "pages"

    @property
    def methods(self) -> tuple[str, ...]:
        """With which it is tried: GET everywhere, POST on our own."""
        return ("GET", "POST") if self.name.startswith(OURS) else ("GET",)


def routes() -> list[Route]:
    """List every address there is."""
    return list(_walk(get_resolver(), "", ""))


def _walk(resolver: URLResolver, prefix: str, namespace: str) -> Iterator[Route]:
    for each in resolver.url_patterns:
        pattern = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            inner = f"{namespace}{each.namespace}:" if each.namespace else namespace
            yield from _walk(each, pattern, inner)
        elif isinstance(each, URLPattern):
            names = tuple(each.pattern.regex.groupindex)
            yield Route(pattern, f"{namespace}{each.name or ''}", names)


@dataclass(slots=True)
class Scene:
    """The conversations in each state, what else addresses name, and the people who ask."""

    centre: Centre
    conversations: dict[str, UUID]
    dialogs: dict[str, UUID]
    others: dict[str, UUID]
    people: dict[str, User | None]


def build(centre: Centre) -> Scene:
    """Make one of everything that addresses can name."""
    calls = {
        "own": centre.call(),
        "other_team": centre.call(of=centre.sales),
        "other_company": centre.call(of=centre.funds, by=centre.onni_pbx),
        "held": centre.call(),
        "ended": centre.call(),
        "withdrawn": centre.call(),
        "destroyed": centre.call(),
    }
    dialogs = {state: factories.sound_of(call).pk for state, call in calls.items()}
    chat = centre.chat()
    matter = centre.matter_of(calls["held"])
    run = _end_and_destroy(centre, calls)
    scene = Scene(
        centre=centre,
        conversations={state: call.pk for state, call in calls.items()}
        | {"own_chat": chat.pk, "unknown": UNKNOWN},
        dialogs=dialogs | {"own_chat": chat.dialogs.get().pk, "unknown": UNKNOWN},
        others={
            "matter_id": matter.pk,
            "hold_id": Hold.objects.get(matter=matter).pk,
            **_waiting(centre, matter),
            "rule_id": RetentionRule.objects.get(controller=centre.vakka).pk,
            "run_id": run.pk,
            "simulation_id": simulated(centre.vakka, centre.coaching, centre.olga).pk,
            "proposal_id": propose_retirement(
                rule=RetentionRule.objects.get(controller=centre.vakka),
                based_on=1,
                intent=Intent("Looked at."),
                user=centre.olga,
                now=clock.now(),
            ).pk,
            "source_id": centre.pbx.pk,
            "controller_id": centre.vakka.pk,
            "certificate_id": certify(centre.stage)[0].pk,
            "log": centre.vakka.pk,
            "item_id": _quarantined(centre),
            "event_id": _sealed_event(centre),
            "reference": centre.alice.reference,
            "search_id": save_search(
                owner=centre.olga.reference,
                log=centre.vakka.pk,
                name="Hers",
                query="outcome=deny",
                now=clock.now(),
            ),
        },
        people=_people(centre),
    )
    nothing_late()
    return scene


def _end_and_destroy(centre: Centre, calls: dict[str, Conversation]) -> PurgeRun:
    """Bring each call whose time has ended to where its name says it is."""
    past = clock.now() - timedelta(minutes=1)
    centre.end(calls["held"], at=past)
    centre.end(calls["destroyed"], at=past)
    with centre.stage.acting_as("purge"):
        purge(content=ObjectStore.for_purge(), anchor=ObjectStore.for_anchor(), clock=clock.now)
    run = PurgeRun.objects.get()
    centre.end(calls["withdrawn"], at=past)
    with centre.stage.acting_as("purge"), leases.at_work() as token:
        steps.withdraw(
            run=PurgeRun.objects.get(pk=run.pk),
            conversation_ids=[calls["withdrawn"].pk],
            token=token,
            actor=Actor.system("purge"),
            now=clock.now(),
        )
    centre.end(calls["ended"], at=past)
    found = {name: Conversation.objects.get(pk=call.pk).state for name, call in calls.items()}
    assert {found[name] for name in ("withdrawn", "destroyed")} == {"withdrawn", "destroyed"}
    assert found["ended"] == "kept"
    return run


def _quarantined(centre: Centre) -> UUID:
    """An item that waits in quarantine."""
    with centre.stage.acting_as("work"):
        return quarantine(
            source=centre.pbx,
            name="a.wav",
            chunks=lambda: iter([b"noise"]),
            reason="It is damaged.",
            store=ObjectStore.for_content(),
            keyring=centre.keyring(),
            now=clock.now(),
        ).pk


def _waiting(centre: Centre, matter: Matter) -> dict[str, UUID]:
    """A criterion of the matter, which matches nothing there is, and a proposal to drop it."""
    now = clock.now()
    draft = Draft(queues=(uuid4(),))
    criterion = set_criterion(matter=matter, draft=draft, set_by=centre.olga, now=now)
    lifting = propose_dropping(
        criterion=criterion, reason="Settled.", proposed_by=centre.olga, now=now
    )
    return {"criterion_id": criterion.pk, "lifting_id": lifting.pk}


def _sealed_event(centre: Centre) -> UUID:
    keys = SealingKeys(centre.stage.keys.parent / "seal-keys")
    introduce_key(keys=keys, now=clock.now())
    log = str(centre.vakka.pk)
    Sealer(keys).seal(log=log, now=clock.now())
    event = Event.objects.filter(log=log).order_by("id").first()
    assert event
    return event.event_id


def _people(centre: Centre) -> dict[str, User | None]:
    """Everybody, the compliance officer last: her tries change what the others would meet."""
    made: dict[str, User | None] = {
        "nobody": None,
        "coach": centre.alice,
        "lead": centre.bob,
        "other_team": centre.dora,
        "outsider": centre.charlie,
    }
    for role in (
        *(Role.EMPLOYEE, Role.REQUEST_HANDLER, Role.DATA_PROTECTION_OFFICER),
        Role.ADMINISTRATOR,
    ):
        user = factories.person(f"{role.value} {uuid4().hex[:4]}", employer=centre.vakka)
        factories.give_role(user, role, None)
        factories.undertake(user)
        made[role.value] = user
    factories.undertake(centre.sulo)
    return made | {
        "auditor": centre.aune,
        "superuser": centre.sulo,
        "case_handler": centre.casper,
        "compliance_officer": centre.olga,
    }


def compute(scene: Scene, *, part: str) -> Matrix:
    """Ask for every address of the part as everybody, as the web; what only looks comes first."""
    matrix: Matrix = {}
    with scene.centre.stage.acting_as("web"):
        browsers = {
            name: _browser(user)
            for name, user in scene.people.items()
            if part in PARTS[:2] or name in AT_THE_ADMINISTRATORS_SITE
        }
        for method in ("GET", "POST"):
            for route in routes():
                if route.part == part and method in route.methods:
                    for state, path in _paths(scene, route, method):
                        matrix[(method, route.pattern, state)] = {
                            name: _answer(browser, method, path)
                            for name, browser in browsers.items()
                        }
    return matrix


def _browser(user: User | None) -> Callable[[], Client]:
    """Give a browser with the cookies of its sign-in, whatever was asked before."""
    client = Client()
    if user is not None:
        client.force_login(user, backend=BACKEND)
    cookies = client.cookies.copy()

    def fresh() -> Client:
        client.cookies = cookies.copy()
        return client

    return fresh


def _paths(scene: Scene, route: Route, method: str) -> Iterator[tuple[str, str]]:
    states = STATES if method == "GET" else STATES_TO_POST_AT
    if CONVERSATION in route.parameters:
        known = {name: scene.others[name] for name in route.parameters if name in scene.others}
        for state in states:
            if route.name == "audit:story" and state not in STATES_TO_TELL_OF:
                continue
            yield state, _fill(route, known | {CONVERSATION: scene.conversations[state]})
    elif DIALOG in route.parameters:
        for state in states:
            path = _fill(route, {DIALOG: scene.dialogs[state]})
            yield state, f"{path}?play={UUID(int=7)}"
    else:
        values: dict[str, object] = {name: scene.others.get(name, "1") for name in route.parameters}
        if "app_label" in values:
            values["app_label"] = "accounts"
        if "object_id" in values:
            values["object_id"] = _first_of(route)
        yield NO_STATE, _fill(route, values)


def addresses(scene: Scene, route: Route, method: str) -> list[tuple[str, str]]:
    """The addresses of a pattern in this scene, each with the state of what it names."""
    return list(_paths(scene, route, method))


def _fill(route: Route, values: dict[str, object]) -> str:
    from django.urls import reverse

    if route.name and not route.name.endswith(":"):
        return reverse(route.name, kwargs=values)
    path = route.pattern
    for name, value in values.items():
        path = path.replace(f"<path:{name}>", str(value)).replace(f"<uuid:{name}>", str(value))
    return f"/{path}" if "(" not in path else "/admin/nowhere/"


def _first_of(route: Route) -> object:
    """The first row that this page of the administrators' site could be about."""
    app, model = route.pattern.split("/")[1:3]
    if app not in apps.app_configs:
        return UNKNOWN
    found = apps.get_model(app, model).objects.order_by("pk").first()
    return found.pk if found else "1"


def _answer(browser: Callable[[], Client], method: str, path: str) -> str:
    response = browser().generic(method, path)
    if response.status_code == 302:
        target = response.headers["Location"].partition("?")[0]
        return {
            "/account/login/": "sign-in",
            "/admin/login/": "sign-in",
            "/me/undertaking/": "undertake",
        }.get(target, "302")
    return str(response.status_code)


def read_table(*, part: str | None = None) -> Matrix:
    """Read what is checked in, all of it or one part."""
    parts = {route.pattern: route.part for route in routes()} if part else {}
    with TABLE.open(newline="") as file:
        rows = {
            (row.pop("method"), row.pop("address"), row.pop("state")): {
                who: cell for who, cell in row.items() if cell
            }
            for row in csv.DictReader(file, delimiter="\t")
        }
    # What is no address any more is missed by the part that is looked at first.
    return {
        key: cells for key, cells in rows.items() if parts.get(key[1], PARTS[0]) == part or not part
    }


def write_table(matrix: Matrix, *, part: str) -> None:
    """Write a part anew; every changed line is to be looked at before it is checked in."""
    kept = {key: cells for key, cells in read_table().items() if key not in read_table(part=part)}
    whole = kept | matrix
    people = max(whole.values(), key=len)
    with TABLE.open("w", newline="") as file:
        out = csv.writer(file, delimiter="\t", lineterminator="\n")
        out.writerow(["method", "address", "state", *people])
        for key, cells in sorted(whole.items(), key=lambda row: (row[0][1], row[0][0])):
            out.writerow([*key, *(cells.get(who, "") for who in people)])


def differences(now: Matrix, table: Matrix) -> list[str]:
    """Name every cell that is not as the table says, and every row that one of them lacks."""
    found = [f"{' '.join(key)}: not in the table" for key in now.keys() - table.keys()]
    found += [f"{' '.join(key)}: no such address any more" for key in table.keys() - now.keys()]
    for key in now.keys() & table.keys():
        found += [
            f"{' '.join(key)} {who}: {table[key].get(who)} in the table, {cell} now"
            for who, cell in now[key].items()
            if table[key].get(who) != cell
        ]
    return sorted(found)
