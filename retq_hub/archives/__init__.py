"""Archives: more images than one sitting, from anywhere, into tables or files."""

__all__: list[str] = []
