"""What a backbone gave for many images, kept in a folder: shards of embeddings and tokens."""

__all__: list[str] = []
