"""How the brain learns: propensities, risk, evaluation, promotion."""
