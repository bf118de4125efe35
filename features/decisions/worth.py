"""What the success of an offer is worth, everywhere: the euros that were told, else the catalogue's, once per sale.

Of an action whose positive outcomes are `ordered` and `activated`, the first of each belong to one sale, the second of
each to the next. What was told of a sale last is its value, of two words of the same time the larger. If nothing was
told, it is worth the action's value for a typical customer: what an expression gives for one customer is unknown where
nothing was offered, and then the arms of a comparison would be valued differently.
"""

from decisioning.catalogue.actions import Action
from decisioning.catalogue.release import Release


def catalogue_eur(action: Action, release: Release, outcome: str | None = None) -> float:
    """Return the euros of a sale of which no value was told.

    :param outcome: the outcome that counts as success; the catalogue's value is not that of an outcome that the action
        does not declare as positive, which is worth 0
    """
    if outcome is not None and outcome not in action.outcomes.positive:
        return 0.0
    return action.value.typical_eur(release.catalogue.settings.eur_per_point)


def sales(successes: str, keys: str) -> str:
    """Return SQL of one row per sale: its `keys`, `eur`, and whether none of its outcomes named an offer (`unasked`).

    :param successes: a relation of positive outcomes with `keys`, `name`, `at_us`, `value_eur` (NULL if not told),
        `offer_id`, `times` (how often it happened) and `catalogue_eur`
    :param keys: columns, separated by commas, that tell whose sales of what are counted together
    """
    return f"""
      SELECT {keys}, coalesce(arg_max(value_eur, (at_us, value_eur)), any_value(catalogue_eur), 0.0) AS eur,
        bool_and(offer_id IS NULL) AS unasked
      FROM (SELECT *, row_number() OVER (PARTITION BY {keys}, name ORDER BY at_us, value_eur, offer_id) AS nth
        FROM (SELECT * EXCLUDE (times), unnest(range(times)) FROM {successes}))
      GROUP BY {keys}, nth"""
