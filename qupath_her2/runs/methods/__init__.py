"""Scoring methods: by cells, by IHC indicators, by patches of a network."""
