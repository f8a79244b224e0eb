"""What runs a backbone's encoder: engines that compute the same, at different speeds."""

__all__: list[str] = []
