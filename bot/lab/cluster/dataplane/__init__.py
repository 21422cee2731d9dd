"""The lab's pod networks: what Calico, Flannel and Cilium leave in a node's kernel."""
