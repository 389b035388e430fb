from . import claims, codecs, entries, files, processes, segments

__all__ = ["claims", "codecs", "entries", "files", "processes", "segments"]
