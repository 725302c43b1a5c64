"""Everything on one machine: servers, migrations, the sample contact centre, web and workers."""

from __future__ import annotations

import json
import os
from pathlib import Path

from config.servers import application, environment, local, ports
from config.servers.application import STREAM_FILE, Application
from config.servers.local import Report, Servers, timed
from config.servers.process import Process

LOGINS = "demo-logins.json"
WEB_PORT = "web-port.json"
METRICS_PORT = "metrics-port.json"


def run(data: Path, *, wanted_port: str | None, report: Report) -> None:
    """
    Run the demo until somebody ends us.

    Raises: ServerDied when a process ends by itself, NoFreePort when the wanted port is taken.
    """
    port = ports.for_web(data / WEB_PORT, wanted=wanted_port)
    metrics_port = ports.for_metrics(data / METRICS_PORT)

    def product_of(servers: Servers) -> Application:
        here = {"BASE_URL": f"http://localhost:{port}"}  # others may have started the servers
        environments = {role: servers.environment(role) | here for role in environment.ROLES}
        if STREAM_FILE in os.environ:
            environments["stream"][STREAM_FILE] = os.environ[STREAM_FILE]
        return Application(environments, servers.data, port, metrics_port)

    def prepare_database(servers: Servers) -> Process:
        return product_of(servers).command(
            "prepare_demo", "database", role="owner", name="Database"
        )

    with (
        local.start(data, web_port=port, report=report, meanwhile=prepare_database) as servers,
        application.running(product_of(servers)) as product,
    ):
        with timed(report, "Sample contact centre"):
            loading = product.begin("prepare_demo", "conversations", role="work", name="Capture")
            product.start()
            printed = product.finish(loading)
        with timed(report, "Web and workers"):
            product.wait_for_web()
        _announce(servers.data, port, _last_sentence(printed), report)
        report(f"Figures for Prometheus: http://127.0.0.1:{metrics_port}/metrics")
        report(f"Reminders, which elsewhere are e-mail, are files in {servers.data / 'mail'}")
        report("Ctrl-C ends everything; that takes about 20 seconds.")
        application.watch(servers, product)


def _last_sentence(printed: str) -> str:
    """Give the last line that is for a person: log lines are JSON."""
    lines = [line for line in printed.splitlines() if line and not line.startswith("{")]
    return lines[-1] if lines else ""


def _announce(data: Path, port: int, short_lived: str, report: Report) -> None:
    report("")
    report(f"Tallenne is at http://localhost:{port}")
    path = data / LOGINS
    if path.exists():
        logins = json.loads(path.read_text())
        width = max(len(login["email"]) for login in logins)
        for login in logins:
            who = ", ".join(filter(None, (login.get("who"), login.get("company"))))
            report(
                f"  {login['email']:<{width}}  {login['password']}  {login['role']}"
                + (f" ({who})" if who else "")
            )
    report(short_lived)
