"""Everything on one machine: servers, migrations, the sample contact centre, web and workers."""

from __future__ import annotations

import json
from pathlib import Path

from config.servers import application, environment, local, ports
from config.servers.local import Report, timed

LOGINS = "demo-logins.json"
WEB_PORT = "web-port.json"


def run(data: Path, *, wanted_port: str | None, report: Report) -> None:
    """
    Run the demo until somebody ends us.

    Raises: ServerDied when a process ends by itself, NoFreePort when the wanted port is taken.
    """
    port = ports.for_web(data / WEB_PORT, wanted=wanted_port)
    with local.start(data, web_port=port, report=report) as servers:
        here = {"BASE_URL": f"http://localhost:{port}"}  # others may have started the servers
        environments = {role: servers.environment(role) | here for role in environment.ROLES}
        with application.running(environments, data=servers.data, port=port) as product:
            short_lived = _prepare(product, report)
            _announce(servers.data, port, short_lived, report)
            application.watch(servers, product)


def _prepare(product: application.Application, report: Report) -> str:
    """Bring all up; gives the sentence about the conversation that ends in two minutes."""
    with timed(report, "Database"):
        product.manage("prepare_demo", role="owner")
    product.start()
    with timed(report, "Sample contact centre"):
        product.manage("load_sample_centre", role="work")
    with timed(report, "Web and workers"):
        product.wait_for_web()
    # Its time ends two minutes from now, so it is captured last.
    return _last_sentence(product.manage("short_lived", role="work"))


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
    report("Ctrl-C ends everything; that takes about 20 seconds.")
