"""Accepts events: a request becomes a stored event, or a reason why not."""
