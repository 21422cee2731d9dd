"""Helm: its program, and what it keeps of its releases in the cluster."""
