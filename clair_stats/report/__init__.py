"""What a fitted model says in words and pictures."""
