"""Public messages with labels, from the data folder beside the project; tests skip without it."""

import pandas as pd
import pytest

from tests.training.conftest import shared


@pytest.fixture(scope="session")
def airline() -> pd.DataFrame:
    """English messages: `text`, and whether each is `negative`."""
    frame = pd.read_csv(shared("data/airline_tweets") / "Tweets.csv")
    return pd.DataFrame({"text": frame["text"], "negative": frame["airline_sentiment"] == "negative"})


@pytest.fixture(scope="session")
def restaurants() -> dict[str, pd.DataFrame]:
    """Sentences by language: `text`, and `polarity` as labelled."""
    folder = shared("data/absa_nl_restaurants")
    return {
        language: pd.concat(
            pd.read_csv(folder / f"{language}_{part}_sentences.csv").rename(columns={"aspect_polarities": "polarity"})
            for part in ("train", "dev")
        )
        for language in ("nl", "en")
    }
