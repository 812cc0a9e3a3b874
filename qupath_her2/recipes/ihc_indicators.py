"""IHC indicators: stage 3 of the system of Che et al., measured in the tumour and scored by ranges; nothing is trained.

Che Y et al., Diagnostics 13:263, 2023. Stages 1 and 2, the tumour map, are the recipe ``tumour-resnet34``. Read from
top to bottom: data, ranges, figures, deviations. ``qupath-her2 run --method indicators`` measures and scores,
``qupath-her2 indicators fit`` fits the ranges.
"""

from __future__ import annotations

from qupath_her2.recipes.recipe import Deviation, MeasuredRecipe
from qupath_her2.scoring.indicators.ranges import PUBLISHED

__all__ = ["IHC_INDICATORS"]

IHC_INDICATORS = MeasuredRecipe(
    name="ihc-indicators",
    title="HER2 0, 1+, 2+, 3+ of an IHC slide from staining intensity, positive cells and circumferential cells",
    paper="Che et al., Diagnostics 13:263, 2023",
    doi="10.3390/diagnostics13020263",
    data=(
        "Paper: 95 slides at 0.5036 µm/px, 14, 25, 36 and 20 of 0, 1+, 2+ and 3+, 47 of them with a 3+ control. "
        "Here: tumour regions of a QuPath project, a tumour network, or all tissue; labels in cases.csv fit the ranges."
    ),
    tumour_recipe="tumour-resnet34",
    ranges=PUBLISHED,
    reported="slide accuracy 87.4 % by staining alone, 97.9 % by all three; on the slides that the ranges come from",
    deviations=(
        Deviation(
            "the HSV range of brown: not given",
            "hue -30 to 50 degrees, saturation from 0.07, value up to 0.92",
            "of six ranges of saturation and value tried on 12 drawn fields and 8 real pictures, that whose 0 and 3+ "
            "come nearest to the printed ranges (0 up to 0.008; 3+ 0.46 to 0.55 of drawn fields, printed 0.541 to "
            "0.611). At none do 1+ and 2+ lie in theirs: drawn 1+ have 0.31 to 0.55 (printed up to 0.189)",
        ),
        Deviation(
            "the printed ranges score every slide of the hospital they come from",
            "they score nothing unless accepted: ranges are fitted on labelled cases of one scanner and stain, and "
            "slides of another kind, or far outside the ranges, are not assessable",
            "by the printed ranges 8 of 16 drawn fields were right, and every 1+ and 2+ was a class too high",
        ),
        Deviation(
            "accuracy on the slides that the ranges were read from",
            "each case is scored by ranges fitted without it",
            "minimum and maximum of a slide's own group always contain the slide",
        ),
        Deviation(
            "how the three indicators make a score: not stated beyond intensity as the main basis",
            "intensity selects the scores whose range it fits, the two cell ratios decide among them",
            "the plainest rule in which intensity is the main basis; scoring.indicators.ranges has it in full",
        ),
        Deviation(
            "positive cells 0.173 to 0.338, circumferential cells 0.461 to 0.908 of 3+: no share of the same cells",
            "both are shares of all cells, as the text says",
            "a circumferential cell is a positive one, so its share cannot be the greater",
        ),
        Deviation(
            "kernels of erosion and dilation, thresholds of the watershed: not given",
            "nuclei by contrast to their surroundings; stain specks removed by area; cells at a patch's edge left out",
            "counterstain is pale and uneven; an opening erases membranes one pixel wide; a cut contour cannot close",
        ),
        Deviation(
            "how masks of hue and saturation are combined into tissue: not stated",
            "a pixel is tissue by saturation, or by hue where its saturation passes a floor",
            "tissue by both alone would lose pale tissue",
        ),
        Deviation(
            "how the 3+ control tissue of 47 slides is kept out: not stated",
            "detached pieces that are smaller and much browner than the largest are left out, unless regions are drawn",
            "a control would make every slide 3+; a drawn region already leaves it out",
        ),
    ),
)
