"""Where jobs compute: processes of this machine, or a cluster."""
