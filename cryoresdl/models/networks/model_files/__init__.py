"""Model files: their archive and card, the check of both, and where they are found."""
