"""Faults: real changes of the lab's state, each with its undoing. One file per family, found automatically."""
