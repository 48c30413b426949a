"""Masks against the truth: metrics, their statistics, and the search for thresholds."""
