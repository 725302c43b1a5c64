"""PostgreSQL, SeaweedFS and Valkey of one's own, from PyPI wheels, for the demo and the tests."""

from config.servers.local import Servers, start
from config.servers.process import ServerDied

__all__ = ["ServerDied", "Servers", "start"]
