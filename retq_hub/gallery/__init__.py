"""The gallery: a hub's pages for people, to browse queries, read about them and try them.

It is handed a `retq_hub.gallery.shelf.Shelf` and never asks a hub's storage itself; its addresses
come from `retq_hub.gallery.routes.routes`.
"""

__all__: list[str] = []
