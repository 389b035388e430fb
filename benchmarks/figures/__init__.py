"""The figures of the gallery, a module for each of its parts."""
