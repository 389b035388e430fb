from . import claims, entries, files, places, processes, segments

__all__ = ["claims", "entries", "files", "places", "processes", "segments"]
