"""Registration of the H&E and IHC slides of one case."""
