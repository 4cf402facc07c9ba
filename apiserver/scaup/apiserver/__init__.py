"""A small Kubernetes-compatible API over the bucket ``objects``, for machines without a cluster."""

import scaup.core  # noqa: F401 - before all others, for what it leaves out of them
