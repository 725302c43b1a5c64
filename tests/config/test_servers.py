"""The local servers: ports, secrets, accounts, and what each role and identity can do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from botocore.exceptions import ClientError

from config.servers import deployment, environment, files, identities, ports, unprivileged
from config.servers.local import Servers
from config.servers.passwords import Secrets
from config.servers.process import Account, Process, ServerDied, start_time, stop_all

NOBODY = Account("nobody", 65534, 65534)
ADDRESSES = environment.Addresses.on_loopback(
    {"postgresql": 1, "valkey": 2, "weed_s3": 3, "weed_master": 4}, web_port=8000
)
CONTENT, ANCHOR = identities.CONTENT_BUCKET, identities.ANCHOR_BUCKET


def code_of(call: Callable[[], object]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


REFUSED = ("AccessDenied", "403")


class TestPorts:
    def test_are_remembered_while_they_are_free(self, tmp_path: Path) -> None:
        path = tmp_path / "ports.json"

        first = ports.remembered(path, names=("a", "b"))

        assert ports.remembered(path, names=("a", "b")) == first
        assert len(set(first.values())) == 2

    def test_are_chosen_anew_where_taken_and_the_others_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "ports.json"
        first = ports.remembered(path, names=("a", "b"))
        with socket.create_server(("127.0.0.1", first["a"])):
            second = ports.remembered(path, names=("a", "b"))

        assert second["a"] != first["a"]
        assert second["b"] == first["b"]

    def test_are_chosen_anew_where_the_grpc_port_is_taken(self, tmp_path: Path) -> None:
        path = tmp_path / "ports.json"
        first = ports.remembered(path, names=("a",))
        with socket.create_server(("127.0.0.1", first["a"] + ports.GRPC_DISTANCE)):
            assert ports.remembered(path, names=("a",)) != first

    def test_stay_below_those_the_kernel_gives_to_outgoing_connections(self) -> None:
        assert ports.LAST_PORT + ports.GRPC_DISTANCE < 32_768

    def test_of_the_web_is_remembered_where_8000_is_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            monkeypatch.setattr(ports, "PREFERRED_WEB_PORT", taken.getsockname()[1])

            first = ports.for_web(tmp_path / "web.json", wanted=None)

            assert first != ports.PREFERRED_WEB_PORT
            assert ports.for_web(tmp_path / "web.json", wanted=None) == first

    def test_a_wanted_port_that_is_taken_is_refused_by_its_number(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            with pytest.raises(ports.NoFreePort, match=str(port)):
                ports.for_web(tmp_path / "web.json", wanted=str(port))


class TestUnprivilegedAccount:
    def test_data_stays_inside_where_anybody_may_pass(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir()

        assert unprivileged.home(data, step_down_to=None) == data / "postgresql"
        assert stat.S_IMODE((data / "postgresql").stat().st_mode) == 0o700

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
    def test_data_lies_outside_and_is_named_where_only_root_may_enter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed, outside = tmp_path / "closed", tmp_path / "outside"
        closed.mkdir(mode=0o700)
        outside.mkdir()
        monkeypatch.setattr(unprivileged, "OUTSIDE", outside)
        data = closed / "data"
        data.mkdir()

        home = unprivileged.home(data, step_down_to=NOBODY)

        assert home.parent == outside
        assert (data / "postgresql.path").read_text().strip() == str(home)
        assert home.stat().st_uid == NOBODY.uid
        assert unprivileged.home(data, step_down_to=NOBODY) == home

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
    def test_postgresql_does_not_run_as_root(self, servers: Servers) -> None:
        announced = json.loads((servers.data / "env" / "servers.json").read_text())

        assert Path(f"/proc/{announced['pids']['PostgreSQL']}").stat().st_uid != 0


class TestSecretsAndEnvironments:
    def test_a_secret_is_made_once_and_readable_by_its_owner_alone(self, tmp_path: Path) -> None:
        secret = Secrets(tmp_path / "secrets").get("one")

        assert Secrets(tmp_path / "secrets").get("one") == secret
        assert len(secret) >= 40
        assert stat.S_IMODE((tmp_path / "secrets" / "one").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700

    def test_an_environment_is_read_as_written(self, tmp_path: Path) -> None:
        values = {"A": "x=y z", "B": "å"}

        files.write_environment(tmp_path / "a.env", values)

        assert files.read_environment(tmp_path / "a.env") == values

    def test_a_value_with_a_line_break_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="A cannot"):
            files.write_environment(tmp_path / "a.env", {"A": "1\nB=2"})

    @pytest.mark.parametrize(
        ("role", "holds"),
        [
            ("owner", set()),
            ("web", {"S3_CONTENT", "S3_ANCHOR_READ", "KEYRING"}),
            ("work", {"S3_CONTENT", "S3_ANCHOR_READ", "S3_EXPORT", "KEYRING"}),
            ("keys", {"KEYRING"}),
            ("purge", {"S3_PURGE", "S3_ANCHOR", "S3_ANCHOR_READ"}),
            ("beat", set()),
        ],
    )
    def test_each_role_holds_only_what_it_needs(
        self, tmp_path: Path, role: str, holds: set[str]
    ) -> None:
        values = environment.build(
            role,
            addresses=ADDRESSES,
            secrets=Secrets(tmp_path / "secrets"),
            data=tmp_path,
        )

        held = {key.removesuffix("_ACCESS_KEY") for key in values if key.endswith("_ACCESS_KEY")}
        assert held | ({"KEYRING"} if "KEYRING_DIR" in values else set()) == holds
        assert "admin" not in json.dumps(values)
        assert ("tallenne_" + role in values["DATABASE_URL"]) == (role != "beat")

    def test_what_is_meant_for_the_demo_is_not_said_in_production(self, tmp_path: Path) -> None:
        values = environment.build(
            "web",
            addresses=ADDRESSES,
            secrets=Secrets(tmp_path / "secrets"),
            data=tmp_path,
            is_demo=False,
        )

        assert "DEMO" not in values
        assert "PURGE_INTERVAL_SECONDS" not in values

    def test_only_the_web_holds_the_key_that_signs_sessions(self, tmp_path: Path) -> None:
        secrets = Secrets(tmp_path / "secrets")
        keys = {
            environment.build(role, addresses=ADDRESSES, secrets=secrets, data=tmp_path)[
                "SECRET_KEY"
            ]
            for role in environment.ROLES
        }

        assert len(keys) == len(environment.ROLES)


@pytest.fixture
def key() -> str:
    return f"2001/01/01/{uuid4()}/{uuid4()}"


class TestContentIdentity:
    def test_writes_reads_and_holds(self, servers: Servers, key: str) -> None:
        content = servers.s3("content")

        version = content.put_object(Bucket=CONTENT, Key=key, Body=b"sealed")["VersionId"]
        read = content.get_object(Bucket=CONTENT, Key=key, VersionId=version)["Body"].read()
        content.put_object_legal_hold(
            Bucket=CONTENT, Key=key, VersionId=version, LegalHold={"Status": "ON"}
        )
        held = content.get_object_legal_hold(Bucket=CONTENT, Key=key, VersionId=version)

        assert read == b"sealed"
        assert held["LegalHold"]["Status"] == "ON"

    def test_neither_deletes_nor_lists_nor_changes_the_bucket(
        self, servers: Servers, key: str
    ) -> None:
        content = servers.s3("content")
        version = content.put_object(Bucket=CONTENT, Key=key, Body=b"sealed")["VersionId"]

        answers = {
            "version": code_of(
                lambda: content.delete_object(Bucket=CONTENT, Key=key, VersionId=version)
            ),
            "marker": code_of(lambda: content.delete_object(Bucket=CONTENT, Key=key)),
            "list": code_of(lambda: content.list_objects_v2(Bucket=CONTENT)),
            "versions": code_of(lambda: content.list_object_versions(Bucket=CONTENT)),
            "bucket": code_of(lambda: content.delete_bucket(Bucket=CONTENT)),
            "suspend": code_of(
                lambda: content.put_bucket_versioning(
                    Bucket=CONTENT, VersioningConfiguration={"Status": "Suspended"}
                )
            ),
            "lifecycle": code_of(lambda: content.delete_bucket_lifecycle(Bucket=CONTENT)),
            "policy": code_of(lambda: content.put_bucket_policy(Bucket=CONTENT, Policy="{}")),
            "create": code_of(lambda: content.create_bucket(Bucket="another-bucket")),
            "anchor": code_of(lambda: content.put_object(Bucket=ANCHOR, Key=key, Body=b"")),
        }
        several = content.delete_objects(
            Bucket=CONTENT, Delete={"Objects": [{"Key": key, "VersionId": version}]}
        )

        assert {name: code for name, code in answers.items() if code not in REFUSED} == {}
        assert [error["Code"] for error in several["Errors"]] == ["AccessDenied"]
        assert not several.get("Deleted")
        assert content.get_object(Bucket=CONTENT, Key=key)["Body"].read() == b"sealed"


class TestPurgeIdentity:
    def test_deletes_a_version_it_names_and_lists_versions(
        self, servers: Servers, key: str
    ) -> None:
        purge, content = servers.s3("purge"), servers.s3("content")
        version = content.put_object(Bucket=CONTENT, Key=key, Body=b"sealed")["VersionId"]

        answer = purge.delete_objects(
            Bucket=CONTENT, Delete={"Objects": [{"Key": key, "VersionId": version}]}
        )
        left = purge.list_object_versions(Bucket=CONTENT, Prefix=key)

        assert [(each["Key"], each["VersionId"]) for each in answer["Deleted"]] == [(key, version)]
        assert not answer.get("Errors")
        assert not left.get("Versions")
        assert not left.get("DeleteMarkers")

    def test_neither_reads_nor_writes_nor_leaves_a_marker(self, servers: Servers, key: str) -> None:
        purge, content = servers.s3("purge"), servers.s3("content")
        version = content.put_object(Bucket=CONTENT, Key=key, Body=b"sealed")["VersionId"]

        answers = {
            "get": code_of(lambda: purge.get_object(Bucket=CONTENT, Key=key)),
            "version": code_of(
                lambda: purge.get_object(Bucket=CONTENT, Key=key, VersionId=version)
            ),
            "head": code_of(lambda: purge.head_object(Bucket=CONTENT, Key=key, VersionId=version)),
            "put": code_of(lambda: purge.put_object(Bucket=CONTENT, Key=key, Body=b"")),
            "marker": code_of(lambda: purge.delete_object(Bucket=CONTENT, Key=key)),
            "lift": code_of(
                lambda: purge.put_object_legal_hold(
                    Bucket=CONTENT, Key=key, VersionId=version, LegalHold={"Status": "OFF"}
                )
            ),
            "copy": code_of(
                lambda: purge.copy_object(
                    Bucket=CONTENT, Key=f"{key}-copy", CopySource=f"{CONTENT}/{key}"
                )
            ),
            "anchor": code_of(lambda: purge.list_object_versions(Bucket=ANCHOR)),
        }
        several = purge.delete_objects(Bucket=CONTENT, Delete={"Objects": [{"Key": key}]})

        assert {name: code for name, code in answers.items() if code not in REFUSED} == {}
        assert [error["Code"] for error in several["Errors"]] == ["AccessDenied"]
        assert content.get_object(Bucket=CONTENT, Key=key)["Body"].read() == b"sealed"


@pytest.mark.parametrize("identity", ["content", "purge", "anchor", "anchor-read", "admin"])
def test_nobody_deletes_a_version_under_legal_hold(
    servers: Servers, key: str, identity: str
) -> None:
    content, other = servers.s3("content"), servers.s3(identity)
    version = content.put_object(Bucket=CONTENT, Key=key, Body=b"sealed")["VersionId"]
    content.put_object_legal_hold(
        Bucket=CONTENT, Key=key, VersionId=version, LegalHold={"Status": "ON"}
    )

    one = code_of(lambda: other.delete_object(Bucket=CONTENT, Key=key, VersionId=version))
    forced = code_of(
        lambda: other.delete_object(
            Bucket=CONTENT, Key=key, VersionId=version, BypassGovernanceRetention=True
        )
    )
    several = other.delete_objects(
        Bucket=CONTENT, Delete={"Objects": [{"Key": key, "VersionId": version}]}
    )

    assert one in REFUSED
    assert forced in REFUSED
    assert [error["Code"] for error in several["Errors"]] == ["AccessDenied"]
    assert content.get_object(Bucket=CONTENT, Key=key, VersionId=version)["Body"].read()


def test_the_exporter_puts_and_lists_and_neither_reads_nor_deletes(
    servers: Servers, key: str
) -> None:
    export, bucket = servers.s3("export"), identities.EXPORT_BUCKET

    export.put_object(Bucket=bucket, Key=key, Body=b"month")

    listed = export.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
    assert [each["Key"] for each in listed] == [key]
    answers = {
        "get": code_of(lambda: export.get_object(Bucket=bucket, Key=key)),
        "delete": code_of(lambda: export.delete_object(Bucket=bucket, Key=key)),
        "content": code_of(lambda: export.put_object(Bucket=CONTENT, Key=key, Body=b"")),
        "anchor": code_of(lambda: export.list_objects_v2(Bucket=ANCHOR)),
    }
    assert {name: code for name, code in answers.items() if code not in REFUSED} == {}


class TestAnchorIdentities:
    def test_one_writes_with_retention_and_the_other_reads(
        self, servers: Servers, key: str
    ) -> None:
        anchor, reader = servers.s3("anchor"), servers.s3("anchor-read")
        until = datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=30)

        version = anchor.put_object(
            Bucket=ANCHOR,
            Key=key,
            Body=b"line",
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=until,
        )["VersionId"]

        assert reader.get_object(Bucket=ANCHOR, Key=key)["Body"].read() == b"line"
        found = reader.list_object_versions(Bucket=ANCHOR, Prefix=key)["Versions"]
        assert [each["VersionId"] for each in found] == [version]
        retained = reader.get_object_retention(Bucket=ANCHOR, Key=key)["Retention"]
        assert retained["Mode"] == "COMPLIANCE"
        for name in ("anchor", "anchor-read", "purge", "content", "admin"):
            delete = partial(
                servers.s3(name).delete_object, Bucket=ANCHOR, Key=key, VersionId=version
            )
            assert code_of(delete) in REFUSED, name

    def test_neither_does_what_the_other_may(self, servers: Servers, key: str) -> None:
        anchor, reader = servers.s3("anchor"), servers.s3("anchor-read")
        anchor.put_object(Bucket=ANCHOR, Key=key, Body=b"line")

        answers = {
            "anchor get": code_of(lambda: anchor.get_object(Bucket=ANCHOR, Key=key)),
            "anchor list": code_of(lambda: anchor.list_object_versions(Bucket=ANCHOR)),
            "anchor marker": code_of(lambda: anchor.delete_object(Bucket=ANCHOR, Key=key)),
            "anchor content": code_of(lambda: anchor.put_object(Bucket=CONTENT, Key=key, Body=b"")),
            "reader put": code_of(lambda: reader.put_object(Bucket=ANCHOR, Key=key, Body=b"")),
            "reader marker": code_of(lambda: reader.delete_object(Bucket=ANCHOR, Key=key)),
            "reader content": code_of(lambda: reader.list_object_versions(Bucket=CONTENT)),
        }

        assert {name: code for name, code in answers.items() if code not in REFUSED} == {}


class TestDatabaseRoles:
    def test_the_server_keeps_what_it_has_committed(self, servers: Servers) -> None:
        with psycopg.connect(servers.superuser_url()) as connection:
            found = {
                name: connection.execute(f"SHOW {name}").fetchone()
                for name in ("fsync", "full_page_writes", "synchronous_commit")
            }

        assert set(found.values()) == {("on",)}

    @pytest.mark.parametrize("role", ["web", "work", "purge"])
    @pytest.mark.parametrize(
        "statement",
        ["CREATE TABLE x (y int)", "CREATE SCHEMA x", "CREATE TEMPORARY TABLE x (y int)"],
    )
    def test_a_client_role_makes_nothing(self, servers: Servers, role: str, statement: str) -> None:
        url = servers.environment(role)["DATABASE_URL"]

        with (
            psycopg.connect(url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)

    def test_a_function_of_the_owner_is_closed_to_all_until_granted(self, servers: Servers) -> None:
        owner, web = (servers.environment(role)["DATABASE_URL"] for role in ("owner", "web"))
        name = f"closed_{uuid4().hex}"
        with psycopg.connect(owner, autocommit=True) as connection:
            connection.execute(f"CREATE FUNCTION {name}() RETURNS int RETURN 1")
            try:
                with (
                    psycopg.connect(web) as other,
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                ):
                    other.execute(f"SELECT {name}()")
            finally:
                connection.execute(f"DROP FUNCTION {name}()")

    def test_the_owner_is_no_superuser(self, servers: Servers) -> None:
        with psycopg.connect(servers.environment("owner")["DATABASE_URL"]) as connection:
            found = connection.execute(
                "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles"
                " WHERE rolname = current_user"
            ).fetchone()

        assert found == (False, True, False)


def process(tmp_path: Path, script: str, **more: object) -> Process:
    return Process(
        name="The child",
        command=[sys.executable, "-c", script],
        log=tmp_path / "child.log",
        environment={"PATH": os.defpath},
        folder=tmp_path,
        **more,  # type: ignore[arg-type]
    )


class TestDeployment:
    def test_prepares_and_sets_up_servers_elsewhere_twice(
        self, servers: Servers, tmp_path: Path
    ) -> None:
        own = servers.data
        folder = tmp_path / "deployment"
        addresses = environment.Addresses.on_loopback(servers.ports, web_port=8000)
        shutil.copytree(own / "secrets", folder / "secrets")

        for _ in range(2):
            deployment.prepare(folder, addresses)
            deployment.set_up(folder)

        written = files.read_environment(folder / "env" / "web.env")
        assert "DEMO" not in written
        psycopg.connect(written["DATABASE_URL"]).close()
        identity = json.loads((folder / "seaweedfs" / "s3.json").read_text())["identities"][1]
        assert set(identity) == {"name", "policyNames", "credentials"}


class TestProcess:
    def test_that_dies_is_named_with_the_end_of_its_log(self, tmp_path: Path) -> None:
        child = process(tmp_path, "print('because'); raise SystemExit(3)")
        child.start()

        with pytest.raises(ServerDied, match=r"(?s)The child ended with code 3.*because"):
            child.wait_until(lambda: False, timeout_seconds=10)

    def test_ends_with_its_grandchildren_also_in_sessions_of_their_own(
        self, tmp_path: Path
    ) -> None:
        script = (
            "import subprocess, sys, time\n"
            "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
            " start_new_session=True)\n"
            "print(p.pid, flush=True)\n"
            "time.sleep(60)\n"
        )
        child = process(tmp_path, script)
        child.start()
        child.wait_until(lambda: "\n" in child.log.read_text(), timeout_seconds=10)
        grandchild = int(child.log.read_text())
        assert start_time(grandchild) is not None

        stop_all([child])

        deadline = time.monotonic() + 5
        while start_time(grandchild) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert start_time(grandchild) is None

    def test_that_ignores_the_request_is_ended_by_force(self, tmp_path: Path) -> None:
        script = (
            "import signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('ready', flush=True)\n"
            "time.sleep(60)\n"
        )
        child = process(tmp_path, script, patience_seconds=0.5)
        child.start()
        child.wait_until(lambda: "ready" in child.log.read_text(), timeout_seconds=10)

        began = time.monotonic()
        stop_all([child])

        assert time.monotonic() - began < 5
        assert start_time(child.pid) is None


class TestSupervisor:
    """One start of all three servers of its own, for what ends them."""

    def test_names_a_server_that_dies_and_ends_the_others(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "config.servers", "up", "--data", str(data)],
            cwd=Path(__file__).resolve().parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert supervisor.stdout is not None
            assert any(line.startswith("Ready") for line in supervisor.stdout)
            pids = json.loads((data / "env" / "servers.json").read_text())["pids"]
            # SeaweedFS would take 17 s to stop: it is the one to die.
            os.kill(pids["SeaweedFS"], signal.SIGKILL)
            _, complaint = supervisor.communicate(timeout=60)
        finally:
            supervisor.kill()
            pointer = data / unprivileged.POINTER
            if pointer.exists():
                shutil.rmtree(pointer.read_text().strip(), ignore_errors=True)

        assert supervisor.returncode == 1
        assert "SeaweedFS ended with code -9" in complaint
        assert "seaweedfs.log" in complaint
        assert [name for name, pid in pids.items() if start_time(pid)] == []
