"""Going on with the trees of the tumour finder from cells that people labelled."""
