"""What serves: activations of releases, pauses of actions, and who proposed and approved them."""
