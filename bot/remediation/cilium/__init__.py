"""Cilium: the values it is installed with, what its chart renders, and what speaks against installing it."""
