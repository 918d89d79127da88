"""The wing of the house that needs torch: networks, training and export.

Nothing outside this room (but `buildext.engines.torch`) imports torch, timm,
segmentation-models-pytorch, albumentations or OpenCV; the core install lives without them.
"""
