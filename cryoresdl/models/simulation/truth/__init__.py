"""What is exactly known of a simulated map: its local resolution, and its resolution by direction."""
