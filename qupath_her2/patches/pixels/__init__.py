"""The pixels of patches, read from the slides on demand."""
