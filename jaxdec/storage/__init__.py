"""Directories of results that survive kills: files, entries and segments that are there whole or not at all."""
