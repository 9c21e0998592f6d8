"""The judge's error rates, power and cost, in simulated worlds whose users cluster."""
