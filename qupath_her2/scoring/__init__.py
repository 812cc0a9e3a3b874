"""ROOM 7: HER2 scores from measured cells or patches, each with a sentence that explains it.

`guidelines` holds the published rules as data and `rules` evaluates them; `score_cells` scores regions and images
from their cells; `ish`, `tags` and `intervals` compute what is printed beside a score; `indicators` scores
512 x 512 patches without segmenting single membranes; `votes` combines patch predictions; `agreement` compares
results with a reference. Research use only.
"""
