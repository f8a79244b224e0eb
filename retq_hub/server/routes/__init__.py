"""The routes of the Hub's protocol, one module for each group."""

__all__: list[str] = []
