"""Who took part, as the versions of vCon say it, and which side of the desk each one is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recordings.formats.checks import identifier
from recordings.formats.incoming import CannotCapture, IncomingParty, PartyRole

MAX_PARTIES = 1000
_LONGEST = 1000

_AGENT_WORDS = frozenset({"agent", "ai", "bot", "employee", "operator", "advisor", "supervisor"})
_CUSTOMER_WORDS = frozenset({"customer", "client", "caller", "visitor", "contact", "lead"})
_IDENTIFIERS = {"tel": "tel", "mailto": "mailto", "email": "mailto", "sip": "sip", "did": "did"}


@dataclass(frozen=True, slots=True)
class Parties:
    """The parties, and for each place in the vCon where its party went (None: an empty place)."""

    parties: tuple[IncomingParty, ...]
    places: tuple[int | None, ...]

    def at(self, place: object) -> int | None:
        """
        The party meant by a place in the vCon; None for null and for an emptied place.

        Raises:
            CannotCapture: there is no such place.
        """
        if place is None:
            return None
        if isinstance(place, bool) or not isinstance(place, int):
            raise CannotCapture("A dialog of the vCon names a party by something not a number.")
        if not 0 <= place < len(self.places):
            raise CannotCapture("A dialog of the vCon names a party that is not there.")
        return self.places[place]

    def channel_roles(self, named: object) -> tuple[PartyRole, ...]:
        """Who is heard on each channel, or () unless every channel has one side that is known."""
        if not isinstance(named, list) or len(named) < 2:
            return ()
        roles: list[PartyRole] = []
        for channel in named:
            members = channel if isinstance(channel, list) else [channel]
            sides = {
                self.parties[found].role for found in map(self.at, members) if found is not None
            }
            if len(sides) != 1:
                return ()
            roles.append(sides.pop())
        # With no agent among them, nobody could be told apart.
        return tuple(roles) if "agent" in roles else ()


def read_parties(declared: object) -> Parties:
    """
    Read the parties; missing or null means none.

    Raises:
        CannotCapture: not a list, too many, or a text in one is too long.
    """
    if declared is None:
        return Parties((), ())
    if not isinstance(declared, list):
        raise CannotCapture("The parties of the vCon are not a list.")
    if len(declared) > MAX_PARTIES:
        raise CannotCapture(f"The vCon names more than {MAX_PARTIES} parties.")
    given = [party for party in declared if isinstance(party, dict) and party]
    roles = _roles(given)
    parties = tuple(_party(party, role) for party, role in zip(given, roles, strict=True))
    places: list[int | None] = []
    for party in declared:
        is_given = isinstance(party, dict) and bool(party)
        places.append(sum(place is not None for place in places) if is_given else None)
    return Parties(parties, tuple(places))


def _text(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    if len(value) > _LONGEST:
        raise CannotCapture(f"A text of a party is longer than {_LONGEST} characters.")
    return value.strip()


def _party(party: Mapping[str, Any], role: PartyRole) -> IncomingParty:
    name = _text(party.get("name"))
    identifiers: dict[tuple[str, str], None] = {}
    for key, kind in _IDENTIFIERS.items():
        if value := _text(party.get(key)):
            identifiers[identifier(kind, value)] = None
    return IncomingParty(
        role=role,
        # "anonymous" is reserved: it says that there is no name.
        name=None if name is not None and name.lower() == "anonymous" else name,
        login=_text(party.get("id")) if role == "agent" else None,
        identifiers=tuple(identifiers),
    )


def _roles(given: Sequence[Mapping[str, Any]]) -> list[PartyRole]:
    """
    The side of each party: as it says, else as it looks.

    Whoever cannot be told is a customer, since that is the side with rights over the conversation.
    """
    said = [_said_role(party) for party in given]
    looks = [_looks_like_agent(party) for party in given]
    if any(role is not None for role in said) and len(given) == 2:
        first, second = said
        opposite: dict[PartyRole, PartyRole] = {"agent": "customer", "customer": "agent"}
        if first is None and second is not None:
            said[0] = opposite[second]
        elif second is None and first is not None:
            said[1] = opposite[first]
    # If everybody looks like an agent, looks tell nothing.
    tells = any(looks) and not all(looks)
    return [
        role or ("agent" if tells and agent_like else "customer")
        for role, agent_like in zip(said, looks, strict=True)
    ]


def _said_role(party: Mapping[str, Any]) -> PartyRole | None:
    meta = party.get("meta")
    candidates = [party.get("role"), meta.get("role") if isinstance(meta, dict) else None]
    for word in candidates:
        if isinstance(word, str) and word.strip().lower() in _AGENT_WORDS:
            return "agent"
        if isinstance(word, str) and word.strip().lower() in _CUSTOMER_WORDS:
            return "customer"
    return "agent" if party.get("type") == "bot" else None


def _looks_like_agent(party: Mapping[str, Any]) -> bool:
    if any(party.get(key) for key in ("org", "dept")):
        return True
    return not any(party.get(key) for key in ("tel", "mailto", "email", "sip", "validation"))
