"""Fixtures for the tests of a service."""
