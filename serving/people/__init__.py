"""Handing customers over to people: who waits, who has whom, and what each may do next."""
