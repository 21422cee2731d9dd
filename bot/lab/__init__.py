"""A Kubernetes-like cluster on the real kernel, in network namespaces, without containers and without root."""
