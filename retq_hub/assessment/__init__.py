"""What queries say of whole images, held against labels, and against masks."""

__all__: list[str] = []
