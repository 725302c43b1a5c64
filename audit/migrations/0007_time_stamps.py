"""Adds the time stamps of anchored heads."""

from django.db import migrations, models

TIME_STAMPS = r"""
CREATE TABLE audit_time_stamp (
    log text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    response bytea NOT NULL,
    stamped_at timestamptz NOT NULL,
    anchor_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (log, size),
    FOREIGN KEY (log, size) REFERENCES audit_anchor (log, size)
);
CREATE TRIGGER audit_time_stamp_refuse_change BEFORE UPDATE OR DELETE ON audit_time_stamp
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_time_stamp_refuse_truncate BEFORE TRUNCATE ON audit_time_stamp
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
"""


class Migration(migrations.Migration):
    """There is no way back: undoing it would drop evidence."""

    dependencies = [("audit", "0006_witnesses")]

    operations = [
        migrations.RunSQL(TIME_STAMPS),
        migrations.CreateModel(
            name="TimeStamp",
            fields=[
                ("pk", models.CompositePrimaryKey("log", "size", blank=True, editable=False,
                    primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("size", models.BigIntegerField()),
                ("response", models.BinaryField()),
                ("stamped_at", models.DateTimeField()),
                ("anchor_key", models.TextField()),
            ],
            options={"verbose_name": "time stamp", "db_table": "audit_time_stamp",
                "managed": False},
        ),
    ]
