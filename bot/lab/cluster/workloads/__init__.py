"""What runs in the lab, as plain manifests."""
