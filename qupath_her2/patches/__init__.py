"""Labelled patches: where they lie, what they show, whose they are; pixels only when asked for.

`cut_patches` makes a `PatchManifest` of a `Source` (a project, a folder, a published data set); `PatchPixels` reads
its pixels; `split_by_case` and `fold_splits` keep a patient on one side.
"""
