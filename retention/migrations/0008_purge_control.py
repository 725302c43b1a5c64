"""Adds when purge runs are paused, asked to stop, and slowed down by the store."""

import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('retention', '0007_simulations'),
    ]

    operations = [
        migrations.AddField(
            model_name='purgerun',
            name='slow_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='purgerun',
            name='stop_asked_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name='PurgePause',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('reason', models.CharField(choices=[('person', 'Paused by a person'), ('clocks', 'The clocks disagree')], max_length=10)),
                ('began_at', models.DateTimeField()),
                ('began_by', models.CharField(max_length=100)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('ended_by', models.CharField(blank=True, max_length=100)),
            ],
            options={
                'ordering': ['-began_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('reason',), name='purge_pause_open_once')],
            },
        ),
    ]
