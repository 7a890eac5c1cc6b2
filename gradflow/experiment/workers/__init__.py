"""Where bundles are measured: in this process, in others, on a cluster."""
