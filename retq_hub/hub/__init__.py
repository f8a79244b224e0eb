"""The Hub, and the only place that imports its client: how it is asked, what is read and written.

It knows repositories, commits and files; what a query is, the modules above know.
"""

__all__: list[str] = []
