"""The roles, and which log, page and purpose each one opens."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """What a person is here for; `words.md` says what each one means."""

    COACH = "coach", _("Coach")
    LEAD = "lead", _("Team lead")
    EMPLOYEE = "employee", _("Employee")
    COMPLIANCE_OFFICER = "compliance_officer", _("Compliance officer")
    CASE_HANDLER = "case_handler", _("Case handler")
    REQUEST_HANDLER = "request_handler", _("Request handler")
    DATA_PROTECTION_OFFICER = "data_protection_officer", _("Data protection officer")
    ADMINISTRATOR = "administrator", _("Administrator")
    AUDITOR = "auditor", _("Auditor")


# Which roles may use content for a purpose at all; a purpose that is not here opens to nobody.
# A team permission or a matter must open the particular conversation besides.
ROLES_BY_PURPOSE: dict[str, frozenset[Role]] = {
    "coaching": frozenset({Role.COACH, Role.LEAD}),
    "training": frozenset({Role.COACH, Role.LEAD}),
    "matter": frozenset({Role.CASE_HANDLER}),
}

# Which roles hold a permission, asked with the controller whose matter it is (None: all of them).
ROLES_BY_PERMISSION: dict[str, frozenset[Role]] = {
    "audit.read": frozenset({Role.COMPLIANCE_OFFICER, Role.AUDITOR, Role.DATA_PROTECTION_OFFICER}),
    "audit.export": frozenset({Role.COMPLIANCE_OFFICER, Role.AUDITOR}),
    "audit.keep": frozenset({Role.COMPLIANCE_OFFICER}),
    "audit.report": frozenset({Role.COMPLIANCE_OFFICER, Role.DATA_PROTECTION_OFFICER}),
    "retention.read": frozenset({Role.COMPLIANCE_OFFICER, Role.DATA_PROTECTION_OFFICER}),
    "retention.change_rules": frozenset({Role.COMPLIANCE_OFFICER}),
    "retention.hold": frozenset({Role.COMPLIANCE_OFFICER}),
    "retention.dispose": frozenset({Role.COMPLIANCE_OFFICER}),
    "retention.agree_to_dispose": frozenset(
        {Role.COMPLIANCE_OFFICER, Role.DATA_PROTECTION_OFFICER}
    ),
    "retention.see_attention": frozenset(
        {Role.COMPLIANCE_OFFICER, Role.DATA_PROTECTION_OFFICER, Role.ADMINISTRATOR}
    ),
    "retention.control_purge": frozenset({Role.COMPLIANCE_OFFICER}),
    "recordings.see_own_looks": frozenset({Role.EMPLOYEE}),
    "recordings.see_quarantine": frozenset({Role.COMPLIANCE_OFFICER, Role.ADMINISTRATOR}),
}
