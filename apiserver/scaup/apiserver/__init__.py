"""A small Kubernetes-compatible API over the bucket ``objects``, for machines without a cluster."""
