"""``scaup tail``: a Broker's events as they are accepted, and what fired."""
