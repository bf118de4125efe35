"""What a customer's message says beside its words: language, sentiment, cues, and how a conversation goes.

`event.message_fields` makes the fields of an event of it, `scoring.score` its numbers, `trained` serves a model.
"""
