"""The lab: every fault that the probe diagnoses, made with real packets in VPCs of network namespaces."""
