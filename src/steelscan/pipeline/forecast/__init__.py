"""What a run will fit and predict, and how long, how large and how much memory."""
