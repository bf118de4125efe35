"""Checks of what agents are shown: features that exist and may be shown, and words that claim no feeling."""

from collections.abc import Iterator

from decisioning.catalogue.check.shape import Draft, Item, repeated_names, unknown_names
from decisioning.catalogue.people.package import FactsHeading
from decisioning.catalogue.wording import pretended_feeling
from decisioning.errors import Mistake


def package_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake in the headings of the package, and in the words that help."""
    for item in draft.package:
        names = [feature.name for feature in item.spec.features]
        yield from unknown_names(item, ("features",), "feature", names, draft.known_ids["features"])
        yield from repeated_names(item, ("features",), names)
        yield from _titles(item, draft)
        yield from _shown(item, draft)
    yield from _words(draft)


def _titles(item: Item[FactsHeading], draft: Draft) -> Iterator[Mistake]:
    for locale in draft.settings.spec.locales:
        if locale not in item.spec.title:
            yield item.problem(("title",), f"the title is missing in `{locale}`", f'add `{locale}: "…"`')


def _shown(item: Item[FactsHeading], draft: Draft) -> Iterator[Mistake]:
    """Yield features that no heading may show: moods and requests have a part of their own, and the rest is no fact."""
    features = {feature.spec.name: feature.spec for feature in draft.features}
    for i, shown in enumerate(item.spec.features):
        feature = features.get(shown.name)
        if feature is None:
            continue
        if why := feature.why_not_for_sales:
            yield item.problem(("features", i), f"`{shown.name}` is {why}, and no heading may show it", "remove it")
        elif feature.source not in ("profile", "signal"):
            message = f"`{shown.name}` is of source `{feature.source}`, and only what is known is shown"
            yield item.problem(("features", i), message, "name a feature of source `profile` or `signal`")


def _words(draft: Draft) -> Iterator[Mistake]:
    for locale, words in draft.settings.spec.handover.words.items():
        for part, lines in (("acknowledge", words.acknowledge), ("way_out", words.way_out)):
            for i, line in enumerate(lines):
                if claimed := pretended_feeling(line):
                    message = f"`{claimed}` claims to feel what the customer feels"
                    path = ("handover", "words", locale, part, i)
                    yield draft.settings.problem(path, message, "say what you do, not what you feel")
