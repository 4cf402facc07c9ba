"""``scaup doctor``: what is wrong with a running Scaup, and what to do about it."""
