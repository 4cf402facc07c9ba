"""``scaup trace``: where an event is, how it came there, and what is no longer known of that."""
