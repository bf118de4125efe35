"""How the brain is asked: HTTP on Ray Serve, batch on Ray Data."""
