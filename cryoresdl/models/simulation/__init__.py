"""From atoms to maps whose local resolution is known."""
