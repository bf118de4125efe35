"""What a decision is drawn from: everything it computed before chance had its say."""

from dataclasses import dataclass

from decisioning.deciding import ethics
from decisioning.deciding.arbitration import Exploration, Field, Pick, Slot, fill, uniforms
from decisioning.deciding.record import Run


@dataclass(frozen=True)
class Drawing:
    """All that choices follow from but the draws; `usual` are the columns without what only mood lets in."""

    run: Run
    slots: list[Slot]
    field: Field
    usual: Field
    explore: Exploration

    def picks(self) -> list[Pick]:
        """What is drawn, before the emotion layer."""
        return fill(self.slots, self.usual, self.run.screened.limits, self.explore, uniforms(self.run.decision_id))

    @property
    def moved(self) -> bool:
        """Whether the emotion layer may change what is drawn, whatever that is."""
        run = self.run
        return ethics.interferes(run.mood, self.slots, run.screened.view, self.field, run.screened.limits)
