"""The gym: break a lab, diagnose it, and score the verdict. Its table is `docs/accuracy.md`."""
