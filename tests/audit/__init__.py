"""Tests of audit/."""
