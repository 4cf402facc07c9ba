"""Accepts events: a request becomes a stored event, or a reason why not."""

import scaup.core  # noqa: F401 - before all others, for what it leaves out of them
