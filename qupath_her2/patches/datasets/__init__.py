"""Published data sets as sources of patches."""
