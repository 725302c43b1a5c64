"""The purge: withdraw, destroy the key, write the ledger, delete, confirm, conclude."""
