"""The lab's daemon: process 1 of its own PID namespace, so that its end is the end of everything in the lab."""
