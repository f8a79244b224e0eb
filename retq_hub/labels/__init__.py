"""Labels of whole images: read, and what is trained or adapted from them."""

__all__: list[str] = []
