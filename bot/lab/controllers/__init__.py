"""The lab's controllers: they turn Deployments, DaemonSets and Services into ReplicaSets, pods and EndpointSlices."""
