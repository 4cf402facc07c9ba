"""``scaup filter``: trying, evaluating, checking and explaining what Triggers filter by."""
