"""Tests against real tools that are not Python packages: ``make test-real``."""
