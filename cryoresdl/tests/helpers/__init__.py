"""What several tests share, once."""
