from . import claims, entries, files, processes, segments

__all__ = ["claims", "entries", "files", "processes", "segments"]
