"""The multi-user face: who may start what, on a laptop and in a cluster."""
