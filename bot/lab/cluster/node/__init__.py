"""What runs inside a lab host: its root file system, its process 1, its sandboxes and containers."""
