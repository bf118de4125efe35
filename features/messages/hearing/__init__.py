"""Hears what a customer asks for or needs in a message: a person, no more advertising, their data, help.

`model.HearingModel` hears, `built_in` is the model that comes with the product, and `channels` tells which channel an
objection is about. Models are fitted by `training.fitting.messages.hearing`.
"""
