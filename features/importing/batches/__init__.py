"""Files of customers to decide for."""
