"""Labelled patches: position, label, case and split as a table; pixels are read from the slides on demand.

`cut_patches` turns a `Source` (a project, a folder, a published data set) into a `PatchManifest`; `PatchPixels` reads
its pixels; `split_by_case` and `fold_splits` keep all patches of a patient in the same part.
"""
