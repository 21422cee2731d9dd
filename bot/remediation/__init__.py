"""Guarded changes: plans from what stands in the cluster, and the executor that carries them out.

`actions` make plans and write nothing; `progress` says from a journal what comes next; `executor` does it.
"""
