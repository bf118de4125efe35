"""The rows of handovers, which the plan of a transaction keeps."""
