"""One catalogue: every section of every file of a workspace, merged and in order of id."""

from functools import cached_property

from decisioning.actions import Action, Basis, Channel, Purpose, Settings
from decisioning.policies import Cap, EmotionRule, Persona, Policy, Protection
from decisioning.schema import Feature, FeatureSchema, Strict


class Catalogue(Strict):
    """What a release says, each section sorted by id, so that the order of files and items changes nothing."""

    settings: Settings = Settings()
    features: tuple[Feature, ...] = ()
    purposes: tuple[Purpose, ...] = ()
    bases: tuple[Basis, ...] = ()
    channels: tuple[Channel, ...] = ()
    actions: tuple[Action, ...] = ()
    policies: tuple[Policy, ...] = ()
    protections: tuple[Protection, ...] = ()
    caps: tuple[Cap, ...] = ()
    emotion: tuple[EmotionRule, ...] = ()
    personas: tuple[Persona, ...] = ()

    @cached_property
    def schema_of_features(self) -> FeatureSchema:
        """The declared features and those every decision has."""
        return FeatureSchema(self.features)

    def prior(self, action: Action) -> float:
        """Catalogue propensity of an action: its own, else of its group, else of its issue, else the default."""
        priors = self.settings.priors
        if action.prior is not None:
            return action.prior
        return priors.group.get(action.group, priors.issue.get(action.issue, priors.default))
