"""The self-hosted hub: the Hugging Face protocol over SQLite and content-addressed files."""

__all__: list[str] = []
