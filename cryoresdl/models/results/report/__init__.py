"""The report of a results folder: HTML, PDF, JSON and a ChimeraX script."""
