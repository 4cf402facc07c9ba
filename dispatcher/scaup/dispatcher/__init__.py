"""Delivers events: resolves sinks, tries, retries, settles. Everything durable after the ingress is in its hands."""

import scaup.core  # noqa: F401 - before all others, for what it leaves out of them
