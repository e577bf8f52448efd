"""Monte Carlo: regimes × methods × replications, rows in a store."""
