"""Speed and scale only, never correctness."""
