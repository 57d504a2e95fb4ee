"""The files of a run: whole or absent, in a folder that is locked, with a record of what may be replaced."""
