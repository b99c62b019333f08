"""POSIX paths as text: what travels in jobs and stands in the ledger."""


def below(folder: str, path: str) -> str:
    """Join two POSIX paths, either of which may be "" or (the folder) "."."""
    if folder in ("", "."):
        return path
    return f"{folder}/{path}" if path else folder
