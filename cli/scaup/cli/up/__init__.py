"""``scaup up``: every part of Scaup on one machine, as children of one process."""
