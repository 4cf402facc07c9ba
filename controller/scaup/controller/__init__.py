"""The controller: makes definitions into the snapshot that the data plane runs by, and reports the truth about them."""
