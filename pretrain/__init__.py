"""Pretraining on shards and folders of frames, and the engine every training stage shares.

``batch``    what a training step gets
``frames``   pools of frames on the device or in shards, with what is known of their targets
``order``    which frame stands at which position of the endless training order
``feed``     pools + order + views -> device batches
``views``    random views of frames, batched on the device
``runtime``  the step loop and all it needs
"""
