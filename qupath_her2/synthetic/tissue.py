"""Settings of the tissue around and between the tumour nests: architecture, stroma, fat, ducts, immune cells."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from qupath_her2.errors import SettingsError

__all__ = ["ARCHITECTURES", "Architecture", "TissueSettings"]

Range = tuple[float, float]
Architecture = Literal["solid", "cribriform", "glandular", "tubular", "trabecular", "single cells"]
#: Growth patterns of invasive breast carcinoma that can be drawn, as in the WHO classification's descriptions.
ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)


@dataclass(frozen=True, slots=True)
class TissueSettings:
    """Tissue of a field that is drawn as whole tissue, not as nests with septa between them.

    Amounts lie in 0..1 unless a unit is given; 0 draws none. A ``(low, high)`` pair is a range from which each item's
    value is drawn uniformly.

    Attributes
    ----------
    architectures
        Growth patterns of the invasive tumour; several share the field in patches.
    tumour
        Share of the field that the invasive tumour takes before ducts and fat are set into it.
    nest_um
        Size of the nests: correlation length of their outline, µm.
    wall_um
        Thickness of the epithelium of glands and tubules, and the width of trabeculae, µm.
    clefts
        Share of the nests' borders along which the tissue has shrunk off the stroma.
    cleft_um
        Greatest width of such a cleft, µm.
    in_situ
        Amount of ducts filled with tumour cells (DCIS), some with comedo necrosis.
    benign
        Amount of two-layered benign ducts and lobules.
    fat
        Share of adipose tissue.
    vessels
        Amount of small vessels, half of them with red cells.
    tears
        Share of the field that is bare glass between torn strands of tissue.
    collagen
        0 is loose, lacy stroma; 1 is dense, hyaline collagen.
    stroma_od
        OD of a dense collagen band.
    stroma_dab
        Share of that OD that is unspecific brown; the rest is counterstain and grey.
    refraction
        Amount of bright and dark edges along the fibres of the stroma.
    fibroblasts
        Amount of spindle-shaped nuclei.
    aggregates
        Amount of dense crowds of lymphocytes.
    scatter
        Amount of single lymphocytes in the stroma.
    immune_stain
        ``rings`` (CD3 or CD8: membranes round lymphocytes), ``granules`` (PD-L1 SP142: coarse dots at immune cells) or
        ``none``.
    immune_share
        Share of lymphocytes with that stain.
    immune_od
        Its peak DAB OD.
    benign_dab_od
        DAB OD of the cytoplasm of benign ducts.
    secretion_dab_od
        DAB OD of the material in lumens.
    necrosis_dab_od
        Unspecific DAB OD of necrotic debris.
    debris
        Amount of grey refractile flakes in lumens, clefts and loose stroma.
    debris_yellow
        Share of a flake's OD that unmixes as DAB.
    wrinkles
        Amount of folds of the section: long double dark lines.

    Raises
    ------
    SettingsError
        If a value is out of its range; the message names it.
    """

    architectures: tuple[Architecture, ...] = ("solid",)
    tumour: float = 0.4
    nest_um: float = 34.0
    wall_um: Range = (11.0, 18.0)
    clefts: float = 0.2
    cleft_um: float = 7.0
    in_situ: float = 0.0
    benign: float = 0.0
    fat: float = 0.0
    vessels: float = 0.3
    tears: float = 0.03
    collagen: float = 0.6
    stroma_od: float = 0.08
    stroma_dab: float = 0.05
    refraction: float = 0.3
    fibroblasts: float = 0.5
    aggregates: float = 0.1
    scatter: float = 0.2
    immune_stain: Literal["none", "rings", "granules"] = "none"
    immune_share: float = 0.5
    immune_od: Range = (0.3, 1.0)
    benign_dab_od: Range = (0.0, 0.05)
    secretion_dab_od: Range = (0.0, 0.1)
    necrosis_dab_od: Range = (0.02, 0.12)
    debris: float = 0.1
    debris_yellow: float = 0.15
    wrinkles: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges; the error names the setting and its value."""
        if not self.architectures or not set(self.architectures) <= set(ARCHITECTURES):
            raise SettingsError(
                f"architectures must be one or more of {', '.join(ARCHITECTURES)}, not {self.architectures}."
            )
        if self.immune_stain not in ("none", "rings", "granules"):
            raise SettingsError(f"immune_stain must be none, rings or granules, not {self.immune_stain!r}.")
        for one in fields(self):
            value = getattr(self, one.name)
            # Annotations are strings here.
            if one.type == "Range" and not 0 <= value[0] <= value[1]:
                raise SettingsError(f"{one.name} must be (low, high) with 0 <= low <= high, not {value}.")
            if one.type == "float" and not one.name.endswith("_um") and not 0 <= value <= 1:
                raise SettingsError(f"{one.name} must lie in 0..1, not {value}.")
        if not 10 <= self.nest_um <= 200:
            raise SettingsError(f"nest_um must lie in 10..200 µm, not {self.nest_um}.")
        if not 0 <= self.cleft_um <= 30:
            raise SettingsError(f"cleft_um must lie in 0..30 µm, not {self.cleft_um}.")
        if not 8 <= self.wall_um[0] <= self.wall_um[1] <= 40:
            raise SettingsError(f"wall_um must be (low, high) within 8..40 µm, not {self.wall_um}.")
