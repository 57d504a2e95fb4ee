"""The surface of a map in colours, drawn without a display."""
