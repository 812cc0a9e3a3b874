"""ROOM 4: networks and their checkpoints. torch, timm and scikit-learn are imported by the functions that need them.

`specs` is the table of networks and `registry` builds them; `classifiers`, `segmenters`, `unet_segnet` and `tlstm` are
their layers; `weights` finds pretrained weights; `card` and `checkpoint` store trained networks, `shipped` has the
package's own; `count_heads` derive a slide's class from its patches' classes; `settings` are the tables of
``her2.toml`` that concern networks.
"""
