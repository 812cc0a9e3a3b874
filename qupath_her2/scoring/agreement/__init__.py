"""How far answers agree with the truth: the statistics a reviewer of a diagnostic study expects.

`make_pairs` checks labels once; `agreement` computes every figure; `agreement_over_folds` gives mean and SD of a
cross-validation; `agreement_tables` and `write_agreement` make them readable. What has no value is NaN, what was not
assessable is counted and never becomes a class, and figures of patches carry their warning. Research use only.
"""
