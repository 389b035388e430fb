from . import entries, files, segments

__all__ = ["entries", "files", "segments"]
