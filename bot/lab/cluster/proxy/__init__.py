"""The lab's kube-proxy, in nftables mode."""
