"""What the clock puts into the inbox, so that a cluster's CNI version is held against the known issues."""

VERSIONS_DUE = "cni_versions_due"
"""The type of the entry that says so."""
