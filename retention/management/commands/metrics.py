"""Gives figures to Prometheus: manage.py metrics [--serve ADDRESS:PORT]."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import DatabaseError, connection

from audit import clock
from retention.metrics import CONTENT_TYPE, exposition

EXAMPLE = """
Example:
  manage.py metrics > /var/lib/node_exporter/tallenne.prom
  manage.py metrics --serve 127.0.0.1:9464

Prints the figures once, for a file that a collector reads, or serves them at /metrics on an
address of its own, which belongs into the network of the monitoring and not before the public.
Exit code 0: printed. 2: wrong use, or the database does not answer.
"""
PATIENCE_SECONDS = 10


class Command(BaseCommand):
    """Prints or serves figures for monitoring."""

    help = "Give figures to Prometheus: what needs a person, and when tasks were last done."

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Show the example as it is written."""
        return super().create_parser(
            *args, epilog=EXAMPLE, formatter_class=RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Name what the command takes."""
        parser.add_argument("--serve", metavar="ADDRESS:PORT", help="serve them until stopped")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Print the figures, or serve them."""
        if not options["serve"]:
            try:
                self.stdout.write(exposition(at=clock.now()), ending="")
            except DatabaseError as error:
                raise CommandError("The database does not answer.", returncode=2) from error
            return
        address, _, port = options["serve"].rpartition(":")
        if not address or not port.isdecimal():
            raise CommandError("Give an address and a port, as 127.0.0.1:9464.", returncode=2)
        try:
            server = HTTPServer((address, int(port)), Exposition)
        except OSError as error:
            raise CommandError(f"Cannot serve at {options['serve']}.", returncode=2) from error
        with server:
            server.serve_forever()


class Exposition(BaseHTTPRequestHandler):
    """Answers GET /metrics, and nothing else."""

    timeout = PATIENCE_SECONDS

    def do_GET(self) -> None:
        """Give the figures as they are now; 503 where the database is away."""
        if self.path != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            body = exposition(at=clock.now()).encode()
        except DatabaseError:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        finally:
            connection.close()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Write no line for each question."""
