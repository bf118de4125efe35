"""A generated telecom operator, whose true response probabilities are known."""
