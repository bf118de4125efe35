"""Off-policy value of a policy from another policy's log, and how well a model ranks and is calibrated."""
