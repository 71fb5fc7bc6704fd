"""Self-supervised pretraining on shards and folders of frames; filled by the steps that train."""
