"""The lab's container images: Python functions, each with the programs that exist beside it."""
