"""Cutting: where patches lie, which label each has, and which are dropped."""
