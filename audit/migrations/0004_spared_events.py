"""Spares the events on which the check of a log rests: what they say is asked for long after."""

from django.db import migrations

CUTTABLE = r"""
CREATE OR REPLACE FUNCTION audit_cuttable(
    wanted_log text, about boolean, wanted_until date, as_of timestamptz)
RETURNS TABLE (event bigint, leaf_index bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.id, l.leaf_index
    FROM public.audit_event e LEFT JOIN public.audit_leaf l ON l.event = e.id
    WHERE e.log = wanted_log AND e.about_conversation = about AND e.month < wanted_until
        -- Which keys signed, which heads were lost, which events are missing for a reason.
        AND e.event_type NOT IN ('sealing_key.introduced', 'log.restarted', 'audit.cut')
        AND (NOT about OR (
            EXISTS (
                SELECT FROM public.audit_event d
                WHERE d.conversation = e.conversation AND d.log = wanted_log
                    AND d.about_conversation AND d.event_type = 'conversation.destroyed'
                    AND d.outcome = 'allow'
                    AND d.recorded_at + make_interval(months => public.audit_term(wanted_log))
                        <= as_of)
            -- The destruction goes last: without it nobody knows that the rest may go.
            AND (e.event_type <> 'conversation.destroyed' OR NOT EXISTS (
                SELECT FROM public.audit_event o
                WHERE o.conversation = e.conversation AND o.log = wanted_log
                    AND o.about_conversation AND o.month >= wanted_until))))
$$;
"""


class Migration(migrations.Migration):
    """There is no way back: what was spared would be cut."""

    dependencies = [("audit", "0003_growth")]

    operations = [migrations.RunSQL(CUTTABLE)]
