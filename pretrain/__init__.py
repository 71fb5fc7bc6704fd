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
"""

from pretrain.backbones import backbone_names, create_backbone

__all__ = ["backbone_names", "create_backbone"]
