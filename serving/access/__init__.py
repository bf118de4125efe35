"""Who may do what over HTTP: keys, the table of scopes, and the check that every request passes first."""
