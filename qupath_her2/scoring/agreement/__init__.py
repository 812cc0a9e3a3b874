"""Agreement with a reference standard: the statistics a reviewer of a diagnostic study expects.

`make_pairs` checks the labels once; `agreement` computes every figure; `agreement_over_folds` gives mean and SD over a
cross-validation; `agreement_tables` and `write_agreement` format them. A figure without a value is NaN, cases that
were not assessable are counted but never become a class, and patch-level figures carry a warning. Research use only.

The truth is the reference label (pathologist, ISH); the answer is the score or predicted class compared with it.
"""
