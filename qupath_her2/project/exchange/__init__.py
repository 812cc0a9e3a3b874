"""The exchange folder ``her2/``: its records, tables, locks, and runs that are whole or absent."""
