"""Names the intent of a message among those that a release lists.

`model.IntentModel` names it, and `fitting.intent_model` makes the model from the examples of the catalogue. Both need
numpy alone. `concepts.txt` has words of customers by what they are about, `other.LANGUAGE.txt` messages of no intent.
"""
