"""Adds what makes the log provable: the queue of unsealed events, leaves, nodes, checkpoints."""

from django.db import migrations, models

QUEUE = r"""
-- Why a queue and not "id greater than the last": ids are taken before commit, so a reader by id
-- passes over what commits later. Here what was forgotten stays visible.
CREATE TABLE audit_unsealed (
    log text COLLATE "C" NOT NULL,
    event bigint NOT NULL,
    about_conversation boolean NOT NULL,
    month date NOT NULL,
    PRIMARY KEY (log, event)
);

CREATE FUNCTION audit_enqueue() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_unsealed (log, event, about_conversation, month)
        VALUES (NEW.log, NEW.id, NEW.about_conversation, NEW.month);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_event_enqueue AFTER INSERT ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_enqueue();
-- What was written before there was a sealer.
INSERT INTO audit_unsealed (log, event, about_conversation, month)
    SELECT log, id, about_conversation, month FROM audit_event;
"""

TREE = r"""
CREATE TABLE audit_origin (
    log text COLLATE "C" NOT NULL,
    number smallint NOT NULL,
    origin text COLLATE "C" NOT NULL UNIQUE,
    from_size bigint NOT NULL,
    continues text,
    started_at timestamptz NOT NULL,
    PRIMARY KEY (log, number)
);
CREATE TABLE audit_leaf (
    log text COLLATE "C" NOT NULL,
    leaf_index bigint NOT NULL,
    event bigint NOT NULL,
    about_conversation boolean NOT NULL,
    month date NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (log, leaf_index),
    CONSTRAINT audit_leaf_once UNIQUE (event)
);
-- The roots of full subtrees of 2^level leaves; see audit.merkle.
CREATE TABLE audit_node (
    log text COLLATE "C" NOT NULL,
    level smallint NOT NULL,
    node_index bigint NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (log, level, node_index)
);
CREATE TABLE audit_checkpoint (
    log text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    origin text COLLATE "C" NOT NULL REFERENCES audit_origin (origin),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    note text NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    sealed_at timestamptz NOT NULL,
    PRIMARY KEY (log, size)
);
CREATE TABLE audit_anchor (
    log text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    anchored_at timestamptz NOT NULL,
    PRIMARY KEY (log, size),
    FOREIGN KEY (log, size) REFERENCES audit_checkpoint (log, size)
);
CREATE TABLE audit_sealing_key (
    fingerprint text COLLATE "C" PRIMARY KEY,
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    introduced_at timestamptz NOT NULL,
    -- In the order of their introduction; two of one instant stay apart.
    number smallint GENERATED ALWAYS AS IDENTITY
);
"""

GUARDED = (
    "audit_origin",
    "audit_leaf",
    "audit_node",
    "audit_checkpoint",
    "audit_anchor",
    "audit_sealing_key",
)
REFUSAL = "\n".join(
    f"""
CREATE TRIGGER {table}_refuse_change BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();"""
    for table in GUARDED
)

CLOSED = "REVOKE ALL ON FUNCTION audit_enqueue() FROM PUBLIC;"


class Migration(migrations.Migration):
    """There is no way back: undoing it would drop the proofs."""

    dependencies = [("audit", "0001_events")]

    operations = [
        migrations.RunSQL(QUEUE),
        migrations.RunSQL(TREE),
        migrations.RunSQL(REFUSAL),
        migrations.RunSQL(CLOSED),
        # The tables above, as Django's state knows them.
        migrations.CreateModel(
            name="Origin",
            fields=[
                ("pk", models.CompositePrimaryKey("log", "number", blank=True, editable=False,
                    primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("number", models.SmallIntegerField()),
                ("origin", models.TextField()),
                ("from_size", models.BigIntegerField()),
                ("continues", models.TextField(null=True)),
                ("started_at", models.DateTimeField()),
            ],
            options={"verbose_name": "origin", "db_table": "audit_origin", "managed": False},
        ),
        migrations.CreateModel(
            name="Leaf",
            fields=[
                ("pk", models.CompositePrimaryKey("log", "leaf_index", blank=True, editable=False,
                    primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("leaf_index", models.BigIntegerField()),
                ("event", models.BigIntegerField()),
                ("about_conversation", models.BooleanField()),
                ("month", models.DateField()),
                ("hash", models.BinaryField(max_length=32)),
            ],
            options={"verbose_name": "leaf", "db_table": "audit_leaf", "managed": False},
        ),
        migrations.CreateModel(
            name="Node",
            fields=[
                ("pk", models.CompositePrimaryKey("log", "level", "node_index", blank=True,
                    editable=False, primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("level", models.SmallIntegerField()),
                ("node_index", models.BigIntegerField()),
                ("hash", models.BinaryField(max_length=32)),
            ],
            options={"verbose_name": "node", "db_table": "audit_node", "managed": False},
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("pk", models.CompositePrimaryKey("log", "size", blank=True, editable=False,
                    primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("size", models.BigIntegerField()),
                ("origin", models.TextField()),
                ("root", models.BinaryField(max_length=32)),
                ("note", models.TextField()),
                ("fingerprint", models.TextField()),
                ("sealed_at", models.DateTimeField()),
            ],
            options={"verbose_name": "checkpoint", "db_table": "audit_checkpoint",
                "managed": False},
        ),
        migrations.CreateModel(
            name="Anchor",
            fields=[
                ("pk", models.CompositePrimaryKey("log", "size", blank=True, editable=False,
                    primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("size", models.BigIntegerField()),
                ("key", models.TextField()),
                ("anchored_at", models.DateTimeField()),
            ],
            options={"verbose_name": "anchor", "db_table": "audit_anchor", "managed": False},
        ),
        migrations.CreateModel(
            name="SealingKey",
            fields=[
                ("fingerprint", models.TextField(primary_key=True, serialize=False)),
                ("public_key", models.BinaryField(max_length=32)),
                ("introduced_at", models.DateTimeField()),
                ("number", models.SmallIntegerField()),
            ],
            options={"verbose_name": "sealing key", "db_table": "audit_sealing_key",
                "managed": False},
        ),
    ]
