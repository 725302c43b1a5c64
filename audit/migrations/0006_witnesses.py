"""Adds what witnesses said of anchored heads."""

from django.db import migrations, models

COSIGNATURES = r"""
CREATE TABLE audit_cosignature (
    log text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    witness text COLLATE "C" NOT NULL,
    lines text NOT NULL,
    witnessed_at timestamptz NOT NULL,
    anchor_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (log, witness, size),
    FOREIGN KEY (log, size) REFERENCES audit_anchor (log, size)
);
CREATE INDEX audit_cosignature_of_head ON audit_cosignature (log, size);
CREATE TRIGGER audit_cosignature_refuse_change BEFORE UPDATE OR DELETE ON audit_cosignature
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_cosignature_refuse_truncate BEFORE TRUNCATE ON audit_cosignature
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""


class Migration(migrations.Migration):
    """There is no way back: undoing it would drop evidence."""

    dependencies = [("audit", "0005_streaming")]

    operations = [
        migrations.RunSQL(COSIGNATURES),
        migrations.CreateModel(
            name="Cosignature",
            fields=[
                ("pk", models.CompositePrimaryKey("log", "size", "witness", blank=True,
                    editable=False, primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("size", models.BigIntegerField()),
                ("witness", models.TextField()),
                ("lines", models.TextField()),
                ("witnessed_at", models.DateTimeField()),
                ("anchor_key", models.TextField()),
            ],
            options={"verbose_name": "cosignature", "db_table": "audit_cosignature",
                "managed": False},
        ),
    ]
