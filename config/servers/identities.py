"""Who may do what in the S3 store: one table, written as SeaweedFS's identities and policies."""

from __future__ import annotations

import json
from dataclasses import dataclass

from config.servers.passwords import Secrets

CONTENT_BUCKET = "tallenne-content"
ANCHOR_BUCKET = "tallenne-anchor"
EXPORT_BUCKET = "tallenne-export"
PROBE_BUCKET = "tallenne-probe"

ADMINISTRATOR = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """One key pair of the store, and the actions it has on the objects of one bucket."""

    name: str
    bucket: str
    actions: tuple[str, ...]


IDENTITIES = (
    # May write, read and hold; may neither delete nor list.
    Identity(
        "content",
        CONTENT_BUCKET,
        (
            "s3:PutObject",
            "s3:GetObject",
            "s3:GetObjectVersion",
            "s3:PutObjectLegalHold",
            "s3:GetObjectLegalHold",
        ),
    ),
    # May delete a version it names, and ask until when one is locked; may neither read nor leave a
    # delete marker.
    Identity(
        "purge",
        CONTENT_BUCKET,
        ("s3:DeleteObjectVersion", "s3:ListBucketVersions", "s3:GetObjectRetention"),
    ),
    Identity("anchor", ANCHOR_BUCKET, ("s3:PutObject", "s3:PutObjectRetention")),
    Identity(
        "anchor-read",
        ANCHOR_BUCKET,
        ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:ListBucketVersions"),
    ),
    # May bring months of the audit log and see that they arrived; may not read them.
    Identity("export", EXPORT_BUCKET, ("s3:PutObject", "s3:ListBucket")),
)


def access_key(name: str, secrets: Secrets) -> str:
    """Give the identity's access key."""
    return f"{name}-{secrets.get(f's3-{name}-access')[:12]}"


def secret_key(name: str, secrets: Secrets) -> str:
    """Give the identity's secret key."""
    return secrets.get(f"s3-{name}-secret")


def configuration(secrets: Secrets) -> str:
    """
    Give the text of SeaweedFS's S3 configuration.

    The identities have `policyNames` alone: beside `actions` the policies would count for nothing,
    and SeaweedFS's own action Write includes the deletion of versions.
    """
    administrator = {"name": ADMINISTRATOR, "actions": ["Admin"]}
    others = [{"name": each.name, "policyNames": [each.name]} for each in IDENTITIES]
    return json.dumps(
        {
            "identities": [
                {**each, "credentials": [_credentials(str(each["name"]), secrets)]}
                for each in (administrator, *others)
            ],
            "policies": [{"name": each.name, "content": policy(each)} for each in IDENTITIES],
        },
        indent=2,
    )


def policy(identity: Identity) -> str:
    """Give the identity's IAM policy document."""
    arn = f"arn:aws:s3:::{identity.bucket}"
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": list(identity.actions),
                    "Resource": [arn, f"{arn}/*"],
                }
            ],
        }
    )


def _credentials(name: str, secrets: Secrets) -> dict[str, str]:
    return {"accessKey": access_key(name, secrets), "secretKey": secret_key(name, secrets)}
