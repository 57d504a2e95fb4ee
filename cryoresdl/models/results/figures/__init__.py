"""The figures of a results folder, drawn with matplotlib."""
