"""The controller: makes definitions into the snapshot that the data plane runs by, and reports the truth about them."""

import scaup.core  # noqa: F401 - before all others, for what it leaves out of them
