"""Checks of actions and their treatments against channels, purposes, features and each other."""

from collections.abc import Iterator, Mapping
from itertools import chain, pairwise

from decisioning.catalogue.actions import MARKETING, Action, Channel, Content, Lever, Treatment
from decisioning.catalogue.check.shape import Draft, Item, repeated_names, unknown_names
from decisioning.catalogue.check.words import hint
from decisioning.catalogue.content import PLACEHOLDER
from decisioning.catalogue.source import Path, shorten
from decisioning.errors import Mistake
from decisioning.facts.schema import FeatureSchema

MAX_ACTIONS = 20_000
MAX_TREATMENTS = 100_000
NOTHING = "none"
NEUTRAL = "neutral"
_BRACES = "write {name} for a feature, in lower case and without spaces; {{ and }} for braces"


def action_problems(draft: Draft) -> Iterator[Mistake]:
    """Yield every mistake of actions, their treatments and their texts."""
    yield from _too_many(draft)
    yield from _marketing(draft)
    treatments = _Treatments(draft)
    for item in draft.actions:
        yield from _tier(item)
        yield from _dates(item)
        yield from _outcomes(item)
        yield from _references(item, draft)
        yield from treatments.problems(item)
    yield from _supersession_cycles(draft)


def _too_many(draft: Draft) -> Iterator[Mistake]:
    if len(draft.actions) > MAX_ACTIONS:
        yield draft.actions[MAX_ACTIONS].problem((), f"more than {MAX_ACTIONS} actions", "split the workspace")
    if sum(len(item.spec.treatments) for item in draft.actions) > MAX_TREATMENTS:
        yield draft.actions[-1].problem((), f"more than {MAX_TREATMENTS} treatments in all", "split the workspace")


def _marketing(draft: Draft) -> Iterator[Mistake]:
    """Whatever sells needs the purpose `marketing`; reported once, at the first action that sells."""
    sells = next((item for item in draft.actions if item.spec.commercial), None)
    if sells and MARKETING not in draft.known_ids["purposes"]:
        message = "it sells, but no purpose `marketing` is declared"
        yield sells.problem(("issue",), message, 'add `{id: marketing, notice_version: "2026-01"}` to `purposes`')


def _tier(item: Item[Action]) -> Iterator[Mistake]:
    action = item.spec
    if action.id == NOTHING:
        yield item.problem(("id",), "`none` is the name of doing nothing", "choose another id")
    if action.tier == ("service" if action.commercial else "commercial"):
        fitting = "commercial" if action.commercial else "service"
        message = f"issue `{action.issue}` cannot be of tier `{action.tier}`"
        yield item.problem(("tier",), message, f"write `tier: {fitting}` or `tier: mandatory`")


def _dates(item: Item[Action]) -> Iterator[Mistake]:
    action = item.spec
    if action.starts_at and action.ends_at and action.ends_at <= action.starts_at:
        yield item.problem(("ends_at",), "`ends_at` is not after `starts_at`", "exchange them, or remove one")
    for i, lever in enumerate(action.lever):
        if lever.from_ and lever.until and lever.until <= lever.from_:
            yield item.problem(("lever", i, "until"), "`until` is not after `from`", "exchange them, or remove one")
    windows = sorted(enumerate(action.lever), key=lambda window: window[1].from_us or 0)
    for (_, before), (i, after) in pairwise(windows):
        if _overlap(before, after):
            message = "two levers hold at the same time"
            yield item.problem(("lever", i), message, "end one with `until` before the other begins")


def _overlap(before: Lever, after: Lever) -> bool:
    return before.until_us is None or before.until_us > (after.from_us or 0)


def _outcomes(item: Item[Action]) -> Iterator[Mistake]:
    outcomes = item.spec.outcomes
    yield from repeated_names(item, ("outcomes", "positive"), outcomes.positive)
    yield from repeated_names(item, ("outcomes", "negative"), outcomes.negative)
    for i, name in enumerate(outcomes.negative):
        if name in outcomes.positive:
            message = f"outcome `{name}` is positive and negative"
            yield item.problem(("outcomes", "negative", i), message, "remove it from one of the two lists")
    stages = [stage.id for stage in outcomes.stages]
    yield from repeated_names(item, ("outcomes", "stages"), stages)
    for i, stage in enumerate(outcomes.stages):
        if stage.after_days >= stage.within_days:
            message = f"stage `{stage.id}` ends before it begins to count"
            yield item.problem(("outcomes", "stages", i, "within_days"), message, "make it more than `after_days`")
    after = [suppression.after for suppression in item.spec.suppress]
    for i, name in enumerate(after):
        path = ("suppress", i, "after")
        if name not in outcomes.all:
            yield item.problem(path, f"the action has no outcome `{name}`", hint(name, outcomes.all))
        if name in after[:i]:
            yield item.problem(path, f"there are two suppressions after `{name}`", "keep the longer one")


def _references(item: Item[Action], draft: Draft) -> Iterator[Mistake]:
    yield from unknown_names(item, ("purposes",), "purpose", item.spec.purposes, draft.known_ids["purposes"])


def _supersession_cycles(draft: Draft) -> Iterator[Mistake]:
    """Actions that supersede each other in a circle; reported at the first action of each circle, in order of id."""
    items = {item.spec.id: item for item in draft.actions}
    visited: set[str] = set()
    for start in items:
        trail: dict[str, None] = {}
        at: str | None = start
        while at is not None and at in items and at not in visited and at not in trail:
            trail[at] = None
            at = items[at].spec.supersedes
        visited.update(trail)
        if at is not None and at in trail:
            message = "it supersedes itself, directly or through other actions"
            yield items[at].problem(("supersedes",), message, "remove `supersedes` from one of the actions")


class _Treatments:
    """The checks of treatments, with what they look up."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.channels: Mapping[str, Channel] = {item.spec.id: item.spec for item in draft.channels}
        self.schema = FeatureSchema(tuple(item.spec for item in draft.features))
        self.locales = frozenset(draft.settings.spec.locales)
        self.locales_known = "locales" not in draft.refused_ids["settings"]
        self.fillable = draft.known_ids["features"] | frozenset(self.schema.features)

    def problems(self, item: Item[Action]) -> Iterator[Mistake]:
        """Yield every mistake in the treatments of one action."""
        ids = [treatment.id for treatment in item.spec.treatments]
        for i, treatment in enumerate(item.spec.treatments):
            path = ("treatments", i)
            if treatment.id in ids[:i]:
                yield item.problem((*path, "id"), f"treatment `{treatment.id}` is declared twice", "rename one of them")
            yield from self._placements(item, path, treatment)
            yield from self._content(item, path, treatment)

    def _placements(self, item: Item[Action], path: Path, treatment: Treatment) -> Iterator[Mistake]:
        name = treatment.channel
        if name not in self.draft.known_ids["channels"]:
            message = f"there is no channel `{name}`"
            suggestion = hint(name, self.draft.known_ids["channels"]) or "declare it under `channels`"
            yield item.problem((*path, "channel"), message, suggestion)
        channel = self.channels.get(name)
        if channel is None:
            return
        places = (*path, "placements")
        yield from unknown_names(
            item, places, f"placement on channel `{name}`:", treatment.placements, channel.placements
        )
        yield from repeated_names(item, places, treatment.placements)
        if item.spec.effective_automation != "automatic" and not channel.human:
            message = f"automation `{item.spec.effective_automation}` needs a person, and channel `{name}` has none"
            suggestion = "use a channel with `human: true`, or write `automation: automatic`"
            yield item.problem((*path, "channel"), message, suggestion)

    def _content(self, item: Item[Action], path: Path, treatment: Treatment) -> Iterator[Mistake]:
        content = (*path, "content")
        if treatment.content_ref is None and self.locales_known:
            yield from self._missing_locales(item, content, treatment.content)
        yield from self._texts(item, content, treatment.content)
        for tone, variant in treatment.tone.items():
            where = (*path, "tone", tone)
            if tone == NEUTRAL:
                yield item.problem(where, "`content` itself is the neutral tone", "move the text to `content`")
            yield from self._texts(item, where, variant)

    def _missing_locales(self, item: Item[Action], path: Path, content: Content) -> Iterator[Mistake]:
        missing = sorted(self.locales - content.keys())
        if missing:
            message = f"the text is missing in {', '.join(f'`{locale}`' for locale in missing)}"
            yield item.problem(path, message, f'add `{missing[0]}: {{title: "…"}}`, or name a `content_ref`')

    def _texts(self, item: Item[Action], path: Path, content: Content) -> Iterator[Mistake]:
        for locale, fields in content.items():
            if self.locales_known and locale not in self.locales:
                message = f"locale `{locale}` is not among `settings.locales`"
                yield item.problem((*path, locale), message, hint(locale, self.locales))
            for field, text in fields.items():
                yield from self._text(item, (*path, locale, field), text)
        yield from chain.from_iterable(_missing_fields(item, (*path, locale), content, locale) for locale in content)

    def _text(self, item: Item[Action], path: Path, text: str) -> Iterator[Mistake]:
        for match in PLACEHOLDER.finditer(text):
            if name := match.group(1):
                yield from self._placeholder(item, path, name)
        remainder = PLACEHOLDER.sub("", text)
        if "{" in remainder or "}" in remainder:
            yield item.problem(path, f"a brace without its partner in `{shorten(text)}`", _BRACES)

    def _placeholder(self, item: Item[Action], path: Path, name: str) -> Iterator[Mistake]:
        if name not in self.fillable:
            suggestion = hint(name, self.fillable) or f"declare the feature, or write {{{{{name}}}}} for plain braces"
            yield item.problem(path, f"no feature fills the placeholder {{{name}}}", suggestion)
        elif item.spec.commercial and name in self.schema and (why := self.schema[name].why_not_for_sales):
            message = f"{{{name}}} is {why}, never to be used for selling, and this action sells"
            yield item.problem(path, message, "remove the placeholder")


def _missing_fields(item: Item[Action], path: Path, content: Content, locale: str) -> Iterator[Mistake]:
    """Fields that the text in another locale has and the one in this locale has not."""
    missing = sorted(set().union(*content.values()) - content[locale].keys())
    if missing:
        yield item.problem(
            path, f"`{missing[0]}` is missing here, and written in another locale", f"add `{missing[0]}`"
        )
