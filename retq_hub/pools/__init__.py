"""How many items are worked on side by side, whatever they are. Nothing here knows an image."""

__all__: list[str] = []
