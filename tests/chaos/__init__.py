"""The ledger under faults: load, hostile sinks and killed processes, and at the end every event's end is shown.

`python -m tests.chaos --help`; the short run is `test_chaos.py`. The story is `run.py`.
"""
