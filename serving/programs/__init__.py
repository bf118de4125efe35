"""Tools for agents that are programs, by the Model Context Protocol (revision 2026-07-28).

Every tool sends one of the server's own HTTP requests with the caller's key, so the doors, scopes, audiences and limits
of HTTP hold for it, and there is no other way in.
"""
