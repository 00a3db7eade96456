"""Settings for all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow, which is no failure; and the same examples everywhere.
settings.register_profile("zoobridge", deadline=None, derandomize=True, database=None)
settings.load_profile("zoobridge")
