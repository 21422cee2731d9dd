"""The lab's Kubernetes API server: an in-memory store behind the Kubernetes REST API.

`storage` and `kubelet_api` are what the lab's other parts use in-process; `server` puts
the same store behind HTTPS for `kubernetes.aio`, kubectl and Helm.
"""
