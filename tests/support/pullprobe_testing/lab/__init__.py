"""The lab: faults made with real packets, in VPCs of network namespaces."""
