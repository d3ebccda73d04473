"""What the pages cost: `python -m bench.web` measures the wall and the session chart beside their peers."""
