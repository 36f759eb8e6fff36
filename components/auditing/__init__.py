"""Page 5: try to get back what was forgotten, read what came of it, and take a report away."""
