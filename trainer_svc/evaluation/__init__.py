"""Evaluation: what versions' recorded scores were worth, and what another policy would have been worth."""
