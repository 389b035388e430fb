from . import entries, files, places, segments

__all__ = ["entries", "files", "places", "segments"]
