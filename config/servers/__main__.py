"""The command `python -m config.servers`: the servers alone, the demo, or the processes alone."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from config.servers import application, demo, deployment, environment, local, ports
from config.servers.files import read_environment
from config.servers.process import STOP_SIGNALS, ServerDied


class Stopped(Exception):
    """Somebody asked us to end, by Ctrl-C or SIGTERM."""


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def up(options: argparse.Namespace) -> None:
    """Run the servers until somebody ends us."""
    with local.start(options.data, report=say) as servers:
        say(f"Ready: environments lie in {servers.data / 'env'}. Ctrl-C ends the servers.")
        if servers.is_ours:
            application.watch(servers)


def run_demo(options: argparse.Namespace) -> None:
    """Run servers, web and workers with the sample contact centre until somebody ends us."""
    demo.run(options.data, wanted_port=os.environ.get("PORT"), report=say)


def run(options: argparse.Namespace) -> None:
    """Run web and workers against servers from outside until somebody ends us."""
    environments = {
        role: read_environment(options.env / f"{role}.env") if options.env else os.environ
        for role in environment.ROLES
    }
    port = ports.for_web(options.data / demo.WEB_PORT, wanted=os.environ.get("PORT"))
    options.data.mkdir(parents=True, exist_ok=True)
    data = options.data.resolve()
    product = application.Application(environments, data, port)
    with application.running(product):
        product.start()
        product.wait_for_web()
        say(f"Tallenne is at http://localhost:{port}. Ctrl-C ends its processes.")
        application.watch(product)


def prepare(options: argparse.Namespace) -> None:
    """Write secrets and environments for servers elsewhere."""
    addresses = environment.Addresses(
        postgresql=options.postgresql,
        valkey=options.valkey,
        s3=options.s3,
        base_url=options.base_url,
    )
    deployment.prepare(options.data, addresses)
    say(f"Written below {options.data}. Start the servers, then: set-up --data {options.data}")


def set_up(options: argparse.Namespace) -> None:
    """Make roles, database and buckets on servers elsewhere."""
    deployment.set_up(options.data)
    say("Roles, database and buckets are there. Now: manage.py migrate, manage.py grant.")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # Asked once is enough: a second Ctrl-C must not leave servers behind.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    say("Stopping …")
    raise Stopped


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m config.servers", description="Servers of Tallenne's own, on loopback."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, deed, purpose in (
        ("up", up, "PostgreSQL, Valkey and SeaweedFS, in the foreground"),
        ("demo", run_demo, "the servers, the sample contact centre, web and workers"),
        ("run", run, "web and workers against the servers the environment names"),
        ("prepare", prepare, "write secrets and environments for servers elsewhere"),
        ("set-up", set_up, "make roles, database and buckets on servers elsewhere"),
    ):
        command = commands.add_parser(
            name, help=purpose, epilog=f"Example: python -m config.servers {name} --data .data"
        )
        command.add_argument("--data", type=Path, default=Path(".data"), help="where files lie")
        command.set_defaults(deed=deed)
        if name == "run":
            command.add_argument("--env", type=Path, help="folder of web.env, work.env and others")
        if name == "prepare":
            command.add_argument("--postgresql", default="postgresql:5432", metavar="HOST:PORT")
            command.add_argument("--valkey", default="valkey:6379", metavar="HOST:PORT")
            command.add_argument("--s3", default="http://seaweedfs:8333", metavar="URL")
            command.add_argument("--base-url", required=True, metavar="URL")
    return parser


def main() -> int:
    """Run the command. Gives 0 when ended on request, 1 when a server died."""
    options = _parser().parse_args()
    for each in STOP_SIGNALS:
        # Under nohup the end of the terminal is none of our business; Ctrl-C always is, also where
        # a shell started us in the background.
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, _stop)
    try:
        options.deed(options)
    except Stopped:
        say("Stopped.")
    except ServerDied as died:
        died.tell()
        return 1
    except ports.NoFreePort as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
