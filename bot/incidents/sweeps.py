"""Sweeps: what the clock puts into the inbox, so that a fault of the nodes is found before anybody notices."""

SWEEP_DUE = "cni_sweep_due"
"""The type of the entry that says that a cluster's sweep is due."""
