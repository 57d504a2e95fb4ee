"""What every wing uses: errors, words and numbers, whole files, run records, progress, worker processes, accuracy."""
