"""The audit events: what can be logged, and what each event may say."""

from __future__ import annotations

from audit.registry import FACTS, REGISTRY, EventRule
from config.documentation.markdown import heading, quoted, table


def page() -> str:
    """Write the page."""
    events = table(
        ["event", "says", "outcome", "must name", "facts it may carry"],
        (
            (
                f"`{event_type}`",
                str(rule.description),
                ", ".join(rule.outcomes),
                _needs(rule),
                quoted(sorted(rule.facts)),
            )
            for event_type, rule in REGISTRY.items()
        ),
    )
    facts = table(
        ["fact", "form", "shown as"],
        ((f"`{name}`", kind.value, str(label)) for name, (kind, label) in sorted(FACTS.items())),
    )
    return (
        heading(
            "Audit events",
            made_from="`audit/registry.py`",
            intro=(
                "An event that is not here, or carries a fact that its line does not name, is "
                "refused before it is written. No form of fact can hold a name, a number of "
                "somebody's or free text; what is personal (the address somebody tried to sign in "
                "with) lies in a separate row that can be erased. The first outcome is the "
                "usual one."
            ),
        )
        + f"\n{events}\n## Facts\n\n{facts}"
    )


def _needs(rule: EventRule) -> str:
    named = {
        "purpose": rule.needs_purpose,
        "basis": rule.needs_basis,
        "data subject": rule.expects_subject,
        "conversation": rule.needs_conversation,
    }
    return ", ".join(name for name, is_needed in named.items() if is_needed)
