"""What breaks, one file a family; found automatically."""
