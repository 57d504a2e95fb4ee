"""Charts and pictures of the report's page: HTML and small images that fit any width, drawn without matplotlib."""
