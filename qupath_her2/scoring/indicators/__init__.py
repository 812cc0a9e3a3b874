"""IHC indicators: staining intensity, positive-cell ratio and circumferential ratio of 512 x 512 patches.

After Che et al. 2023, Diagnostics 13:263 (doi 10.3390/diagnostics13020263). The tumour area comes from annotated
regions or from their tumour network (recipe ``tumour-resnet34``); without either, all tissue is measured.
"""
