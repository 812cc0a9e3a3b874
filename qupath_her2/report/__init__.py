"""ROOM 9: what people look at: the table, the overlay, one HTML page. Research use only, and it says so."""
