"""The exchange folder ``her2/``: image list, runs and their files, locks, and crash-safe writing."""
