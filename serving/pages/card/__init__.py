"""The card of a model as a page: what its figures rest on, what it is for, and its known limits."""
