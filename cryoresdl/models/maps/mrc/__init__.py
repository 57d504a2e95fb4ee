"""MRC files: headers, streams, reading and writing maps and masks."""
