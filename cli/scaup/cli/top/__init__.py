"""``scaup top``: Brokers and Triggers with their rates, latency, queues and dead letters, refreshed."""
