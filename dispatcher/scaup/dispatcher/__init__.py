"""Delivers events: resolves sinks, tries, retries, settles. Everything durable after the ingress is in its hands."""
