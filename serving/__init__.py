"""The brain's interfaces: HTTP on Ray Serve, batch on Ray Data, and the commands of the command line."""
