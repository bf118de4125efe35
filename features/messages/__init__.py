"""Reads a customer's messages: their language, sentiment, cues and intent, and the trend of a conversation.

`event.message_fields` returns the fields of a message's event, `scoring.score` the scores of a text, and `trained`
scores with a model of the company's own.
"""
