"""ROOM 7: from the measured facts of cells, or of patches, to a HER2 score and the sentence that explains it.

`guideline` evaluates the published rules that `tables` holds as data; `aggregate` pools cells into regions
and images; `ish`, `tags` and `intervals` supply what is printed beside the score; `indicators` scores without
single membranes, by three figures of 512 x 512 patches. Research use only.
"""
