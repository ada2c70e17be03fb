"""From what is served to the next model: monitoring, collecting turns for people, and one round of improvement."""
