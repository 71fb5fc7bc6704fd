"""Losses of segmentation maps; see ``pretrain.losses``, where they live because pretraining segments too."""

from pretrain.losses import LossConfig, dice, hard_bce, mask_edges, mean_over_maps, segmentation_loss, soft_iou

__all__ = ["LossConfig", "dice", "hard_bce", "mask_edges", "mean_over_maps", "segmentation_loss", "soft_iou"]
