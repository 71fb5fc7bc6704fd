"""The store: zarr format 3 shards that are written whole, committed, verified and read fast.

``schema``   columns and digests             ``codec``    chunk and shard bytes        ``files``    atomic, durable files
``layout``   arrays on disk                  ``manifest`` what the store is            ``commit``   what a shard holds
``lock``     one writer per shard range      ``reader``   :func:`open_store`           ``verify``   does it hold what it promises
"""

from synth.store.reader import Store, open_store

__all__ = ["Store", "open_store"]
