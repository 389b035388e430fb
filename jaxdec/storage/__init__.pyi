from . import claims, codecs, entries, files, places, processes, segments

__all__ = ["claims", "codecs", "entries", "files", "places", "processes", "segments"]
