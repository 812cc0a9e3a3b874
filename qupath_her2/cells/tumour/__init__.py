"""Telling tumour cells from stroma, lymphocytes and other tissue, and proposing regions around them."""
