"""Plans from what stands in the cluster, a module an action. They decide and read nothing: whoever calls them reads."""
