"""OCT volumes: opened, read a slice at a time, segmented, written and shown."""

__all__: list[str] = []
