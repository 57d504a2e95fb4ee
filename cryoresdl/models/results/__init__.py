"""What a run leaves behind: its files, comparisons with other programs, and values per residue."""
