"""The verbs of the command line as Python functions; ``import qupath_her2 as qh`` offers them all."""
