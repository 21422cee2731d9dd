"""Packet filter rules held against the flows that were tried, whether or not the rules count."""
