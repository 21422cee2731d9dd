"""The lab's kubelets: they turn Pod objects into processes on the lab's nodes and report back."""
