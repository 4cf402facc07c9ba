"""How events are written down: HTTP, JSON, and the entries of the event log. Pure functions over bytes."""
