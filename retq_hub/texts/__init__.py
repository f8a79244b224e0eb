"""Texts as queries: words, tokenizers, encoders, and the artifacts made of them."""

__all__: list[str] = []
