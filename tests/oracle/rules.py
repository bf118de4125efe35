"""Random rules, as the tuples that the oracle evaluates."""

NUMBERS, FLAGS = ("age", "fee", "usage", "arrears", "stock"), ("vip", "hardship", "complaint")
OPERATORS = ("default", "+", "-", "*", "/", "%", "min", "max")


class Rules:
    """Random rules over facts and past outcomes; `plain` ones never ask whether something is known."""

    def __init__(self, random, actions, plain=False):
        self.random, self.actions, self.plain = random, actions, plain

    def number(self, depth=2, own=False):
        roll = self.random.random() if depth else self.random.random() * 0.5
        if roll < 0.35:
            return ("fact", self.random.choice(NUMBERS))
        if roll < 0.5:
            return ("const", self.random.choice((0.0, 0.5, 1.0, 3.0, 18.0, 40.0)))
        if roll < 0.62:
            action = None if own else self.random.choice(self.actions)
            return ("count", action, self.random.choice(("declined", "accepted")), self.random.choice((1, 30, 365)))
        left = self.number(depth - 1)
        if roll < 0.7:
            return ("if", self.truth(depth - 1), left, self.number(depth - 1))
        return (self.random.choice(OPERATORS[self.plain :]), left, self.number(depth - 1))

    def truth(self, depth=2, own=False):  # noqa: PLR0911 - a kind of rule each
        roll = self.random.random() * (1.0 if depth else 0.75)
        if roll < 0.4:
            op = self.random.choice(("==", "!=", "<", "<=", ">", ">="))
            return (op, self.number(depth, own), ("const", self.random.choice((0.0, 1.0, 3.0, 18.0))))
        if roll < 0.48 or (self.plain and 0.65 <= roll < 0.75):
            return ("fact", self.random.choice(FLAGS))
        if roll < 0.55:
            return ("in", ("fact", self.random.choice(("segment", "page"))), ("a", self.random.choice("bc")))
        if roll < 0.6:
            return ("starts", ("fact", "plan"), "fiber")
        if roll < 0.65:
            return (">", ("-", ("fact", "now"), ("fact", "since")), ("days", self.random.choice((10, 500))))
        if roll < 0.7:
            return ("known", ("fact", self.random.choice(("age", "since", "page", "plan"))))
        if roll < 0.75:
            return ("default", ("fact", self.random.choice(FLAGS)), ("const", self.random.random() < 0.5))
        if roll < 0.8:
            return ("not", self.truth(depth - 1, own))
        return (
            self.random.choice(("and", "or")),
            *(self.truth(depth - 1, own) for _ in range(self.random.randint(2, 3))),
        )
