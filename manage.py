#!/usr/bin/env python
"""Runs the project's commands; beside local servers, as the database role each command needs."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command that the arguments name."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if "DATABASE_URL" not in os.environ:
        from config.servers.environment import load_for_command

        load_for_command(sys.argv[1] if len(sys.argv) > 1 else "", Path(__file__).parent / ".data")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
