"""Pretraining on shards and folders of frames, and the engine every training stage shares.

create_backbone(name, in_channels=1, **config)    -> network: images -> pyramid of maps, with .channels and .strides
backbone_names()                                  -> the names it knows

``backbones``  encoders, one family a file
``batch``      what a training step gets
``frames``     pools of frames on the device or in shards, with what is known of their targets
``order``      which frame stands at which position of the endless training order
``feed``       pools + order + views -> device batches
``views``      random views of frames, batched on the device
``runtime``    the step loop and all it needs
``losses``     losses of segmentation maps, for pretraining and fine-tuning
``compose``    synthetic targets and synthetic negatives in label-free views
``objectives`` what is learnt from them, one objective a file
``points``     places in composed frames and the encoder's features there
``unlabelled`` pools without their labels, and what in them may be a target
``settings``   what decides a pretraining; ``sources``, ``task``, ``health`` and ``train`` carry it out
``segmenter``  what a network must offer to be pretrained
"""

from pretrain.backbones import backbone_names, create_backbone

__all__ = ["backbone_names", "create_backbone"]
