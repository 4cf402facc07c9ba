"""HTTP in and out: servers with a life cycle, one pooled client."""
