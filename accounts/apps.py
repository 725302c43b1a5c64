"""The accounts app: who works here."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Companies, people, roles, rights and undertakings."""

    name = "accounts"
