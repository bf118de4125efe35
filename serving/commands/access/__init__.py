"""`brain key` and `brain user`: who may do what."""
