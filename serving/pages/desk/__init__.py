"""The desk: what a person needs while they help a customer."""
