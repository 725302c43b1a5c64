"""The test suite: see tests/conftest.py for what every test may ask for."""
