"""Programs (E), (B), (N): problem, proximal maps, certificates and solvers."""
