"""Creates the audit log: events that cannot be altered, their partitions, details and clock."""

from django.db import migrations, models

TABLES = r"""
CREATE TABLE audit_log (
    name text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    CONSTRAINT audit_log_is_installation_or_controller CHECK (
        name = 'installation'
        OR name ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')
);

-- statement_timestamp(), not clock_timestamp(): month and recorded_at are then read from one
-- instant, so that a row of the last microsecond of a month lies where its time says.
CREATE TABLE audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    log text COLLATE "C" NOT NULL,
    about_conversation boolean NOT NULL,
    month date NOT NULL
        DEFAULT date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC')::date,
    recorded_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    body text NOT NULL,
    -- Read from the body by audit_read_body, whatever was given.
    event_id uuid NOT NULL,
    happened_at timestamptz NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    actor_role text COLLATE "C",
    target_kind text COLLATE "C",
    target text COLLATE "C",
    subject uuid,
    purpose text COLLATE "C",
    basis text COLLATE "C",
    outcome text COLLATE "C" NOT NULL,
    conversation uuid,
    PRIMARY KEY (id, log, about_conversation, month),
    CONSTRAINT audit_event_body_is_object CHECK (body IS JSON OBJECT WITH UNIQUE KEYS),
    CONSTRAINT audit_event_body_fits_a_leaf CHECK (octet_length(body) <= 65535),
    CONSTRAINT audit_event_log_is_the_bodys CHECK (
        body::jsonb ->> 'ctl' IS NOT DISTINCT FROM nullif(log, 'installation')),
    CONSTRAINT audit_event_log_is_installation_or_controller CHECK (
        log = 'installation'
        OR log ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'),
    CONSTRAINT audit_event_class_is_the_bodys CHECK (
        about_conversation = (conversation IS NOT NULL)),
    CONSTRAINT audit_event_month_is_of_recorded_at CHECK (
        month = date_trunc('month', recorded_at AT TIME ZONE 'UTC')::date)
) PARTITION BY RANGE (log, about_conversation, month);

-- audit.queries.page: newest first; of one actor, type, target, conversation; later of one subject.
CREATE INDEX audit_event_by_time ON audit_event (happened_at, id);
CREATE INDEX audit_event_by_actor ON audit_event (actor, happened_at, id);
CREATE INDEX audit_event_by_type ON audit_event (event_type, happened_at, id);
CREATE INDEX audit_event_by_target ON audit_event (target, happened_at, id)
    WHERE target_kind <> 'conversation';
CREATE INDEX audit_event_by_conversation ON audit_event (conversation, happened_at, id)
    WHERE conversation IS NOT NULL;
CREATE INDEX audit_event_by_subject ON audit_event (subject, happened_at, id)
    WHERE subject IS NOT NULL;
"""

READING = r"""
-- A trigger, not generated columns: each of those would parse the body anew, which made an insert
-- five times as dear (100 µs a row against 26, PostgreSQL 18).
CREATE FUNCTION audit_read_body() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parsed jsonb := NEW.body::jsonb;
    act jsonb := parsed -> 'act';
    obj jsonb := parsed -> 'obj';
BEGIN
    NEW.event_id := parsed ->> 'id';
    -- As UTC, whatever zone the session has.
    NEW.happened_at := (parsed ->> 'ts')::timestamp AT TIME ZONE 'UTC';
    NEW.event_type := parsed ->> 'op';
    NEW.actor := act ->> 'ref';
    NEW.actor_role := act ->> 'role';
    NEW.target_kind := obj ->> 't';
    NEW.target := obj ->> 'ref';
    NEW.subject := parsed ->> 'sub';
    NEW.purpose := parsed ->> 'pur';
    NEW.basis := parsed ->> 'bas';
    NEW.outcome := parsed ->> 'out';
    NEW.conversation := CASE WHEN NEW.target_kind = 'conversation' THEN NEW.target
        ELSE parsed #>> '{x,conversation}' END;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_event_read_body BEFORE INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_read_body();
"""

REFUSAL = r"""
CREATE FUNCTION audit_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is never altered: % on % refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER audit_event_refuse_change BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_event_refuse_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_log_refuse_change BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_log_refuse_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""

PARTITIONS = r"""
CREATE TABLE audit_event_default PARTITION OF audit_event DEFAULT;
-- TRUNCATE triggers are not inherited by partitions: each has its own.
CREATE TRIGGER audit_event_refuse_truncate BEFORE TRUNCATE ON audit_event_default
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- What lies in the default partition: nothing is lost, but it was not expected there.
CREATE VIEW audit_misplaced AS
    SELECT log, about_conversation, month, count(*) AS events
    FROM audit_event_default GROUP BY log, about_conversation, month;

-- The partitions that this month and the coming ones should have and have not.
CREATE FUNCTION audit_missing_partitions(months_ahead int)
RETURNS TABLE (log text, about_conversation boolean, month date, partition text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH wanted AS (
        SELECT l.name AS log, class.about AS about_conversation, m.month,
            'audit_event_' || replace(l.name, '-', '')
                || CASE WHEN class.about THEN '_c_' ELSE '_o_' END
                || to_char(m.month, 'YYYYMM') AS partition
        FROM public.audit_log l
        CROSS JOIN (VALUES (false), (true)) AS class(about)
        CROSS JOIN LATERAL (
            SELECT (date_trunc('month', statement_timestamp() AT TIME ZONE 'UTC')
                    + make_interval(months => n))::date AS month
            FROM generate_series(0, least(greatest(months_ahead, 0), 36)) AS n) AS m)
    SELECT w.log, w.about_conversation, w.month, w.partition FROM wanted w
    WHERE to_regclass('public.' || w.partition) IS NULL
$$;

CREATE FUNCTION audit_create_partitions(months_ahead int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    wanted record;
    created int := 0;
BEGIN
    -- Two schedulers at once: the second waits here and then finds nothing missing.
    PERFORM pg_advisory_xact_lock(hashtext('audit_create_partitions'));
    FOR wanted IN
        SELECT * FROM public.audit_missing_partitions(months_ahead) ORDER BY month, log
    LOOP
        -- A range that already has rows in the default partition cannot be attached; it stays
        -- there, shown by audit_misplaced.
        CONTINUE WHEN EXISTS (
            SELECT FROM public.audit_event_default d
            WHERE d.log = wanted.log AND d.about_conversation = wanted.about_conversation
                AND d.month = wanted.month);
        -- Attached, not created in place: writers of the log are not kept waiting.
        EXECUTE format(
            'CREATE TABLE public.%I (LIKE public.audit_event INCLUDING ALL EXCLUDING IDENTITY)',
            wanted.partition);
        EXECUTE format(
            'CREATE TRIGGER audit_event_refuse_truncate BEFORE TRUNCATE ON public.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION public.audit_refuse_change()',
            wanted.partition);
        EXECUTE format(
            'ALTER TABLE public.audit_event ATTACH PARTITION public.%I '
            'FOR VALUES FROM (%L, %L, %L) TO (%L, %L, %L)',
            wanted.partition,
            wanted.log, wanted.about_conversation, wanted.month,
            wanted.log, wanted.about_conversation, (wanted.month + interval '1 month')::date);
        created := created + 1;
    END LOOP;
    RETURN created;
END $$;

CREATE FUNCTION audit_open_log(new_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_log (name) VALUES (new_name) ON CONFLICT DO NOTHING;
    PERFORM public.audit_create_partitions(2);
END $$;
"""

CLOCK = r"""
-- The high-water mark, in microseconds since 1970. A sequence, because it is not transactional:
-- no rollback takes the mark back, and no row is locked or left dead.
CREATE SEQUENCE audit_clock_mark AS bigint MINVALUE 0 START 0;

CREATE FUNCTION audit_now() RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mark bigint;
    clock bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
    SELECT last_value INTO mark FROM public.audit_clock_mark;
    -- The mark follows at most once a second; a read-only transaction leaves it as it is.
    IF clock > mark + 1000000 AND current_setting('transaction_read_only') = 'off' THEN
        PERFORM setval('public.audit_clock_mark', clock);
    END IF;
    clock := greatest(clock, mark);
    RETURN timestamptz '1970-01-01 00:00:00+00'
        + make_interval(secs => clock / 1000000) + make_interval(secs => (clock % 1000000) / 1e6);
END $$;
"""

DETAIL = r"""
ALTER TABLE audit_detail ADD CONSTRAINT audit_detail_salt_is_32_bytes
    CHECK (octet_length(salt) = 32);
CREATE TRIGGER audit_detail_refuse_change BEFORE UPDATE ON audit_detail
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_detail_refuse_truncate BEFORE TRUNCATE ON audit_detail
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""

# PostgreSQL lets everybody execute a new function; who may is said in audit.grants.
CLOSED = r"""
REVOKE ALL ON FUNCTION audit_read_body(), audit_refuse_change(), audit_missing_partitions(int),
    audit_create_partitions(int), audit_open_log(text), audit_now() FROM PUBLIC;
SELECT audit_open_log('installation');
"""


class Migration(migrations.Migration):
    """There is no way back: undoing it would drop the log."""

    initial = True
    dependencies: list[tuple[str, str]] = []

    operations = [
        migrations.RunSQL(TABLES),
        migrations.RunSQL(READING),
        migrations.RunSQL(REFUSAL),
        migrations.RunSQL(PARTITIONS),
        migrations.RunSQL(CLOCK),
        # The tables above, as Django's state knows them.
        migrations.CreateModel(
            name="Log",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField()),
            ],
            options={"verbose_name": "log", "db_table": "audit_log", "managed": False},
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "id",
                        "log",
                        "about_conversation",
                        "month",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("id", models.BigIntegerField()),
                ("log", models.TextField()),
                ("about_conversation", models.BooleanField()),
                ("month", models.DateField()),
                ("recorded_at", models.DateTimeField()),
                ("body", models.TextField()),
                ("event_id", models.UUIDField()),
                ("happened_at", models.DateTimeField()),
                ("event_type", models.TextField()),
                ("actor", models.TextField()),
                ("actor_role", models.TextField(null=True)),
                ("target_kind", models.TextField(null=True)),
                ("target", models.TextField(null=True)),
                ("subject", models.UUIDField(null=True)),
                ("purpose", models.TextField(null=True)),
                ("basis", models.TextField(null=True)),
                ("outcome", models.TextField()),
                ("conversation", models.UUIDField(null=True)),
            ],
            options={"verbose_name": "event", "db_table": "audit_event", "managed": False},
        ),
        migrations.CreateModel(
            name="AuditDetail",
            fields=[
                ("event_id", models.UUIDField(primary_key=True, serialize=False)),
                ("salt", models.BinaryField(max_length=32)),
                ("text", models.TextField()),
                ("delete_after", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "detail of an event",
                "db_table": "audit_detail",
                "indexes": [
                    models.Index(
                        condition=models.Q(("delete_after__isnull", False)),
                        fields=["delete_after"],
                        name="audit_detail_by_end",
                    )
                ],
            },
        ),
        migrations.RunSQL(DETAIL),
        migrations.RunSQL(CLOSED),
    ]
