"""Passwords hashed as the product does, at a price that some thousand test people can pay."""

from __future__ import annotations

from django.contrib.auth.hashers import Argon2PasswordHasher


class CheapArgon2(Argon2PasswordHasher):
    """Argon2 with the smallest cost; the product's own cost is what the browser tests meet."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
