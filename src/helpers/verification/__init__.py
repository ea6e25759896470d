"""Human review of the crowd's proposals: decisions, who reviews what, and what follows from it."""
