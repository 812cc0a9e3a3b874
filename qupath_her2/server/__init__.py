"""The service: jobs over HTTP on this machine, their results, and a page to use it from a browser."""
