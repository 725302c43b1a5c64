"""Exports of a log that whoever receives them can check: what lies in a bundle, and making one."""
