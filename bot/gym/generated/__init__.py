"""Faults that nobody wrote down: composed by a seed, proven by sockets, scored by what was done."""
