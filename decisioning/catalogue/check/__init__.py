"""Checks of how the records of a catalogue fit each other. What they guarantee needs no gate in a decision:

- Features tagged `special-category`, `emotion` or `request`, or with a `proxy_for`, reach no model and decide no value,
  cost, context weight, sale or selling text.
- What a protection reads is a flag (`flags`): no model reads it, it does not decide what a sale is worth, and more of
  it never lets a sale in and never takes help away (`decisioning.rules.direction`).
- A catalogue that sells declares every kind of protection.
- A text that claims scarcity or a deadline names the fact that proves it, and no text claims to feel what the customer
  feels (`decisioning.catalogue.wording`).
"""
