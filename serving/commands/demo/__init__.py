"""What `brain demo` adds to a workspace that a newcomer looks at: people, links, and a conversation that is played."""
