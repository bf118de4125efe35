"""Public messages with labels, from the data folder beside the project; without that folder, tests skip."""

from pathlib import Path

import pandas as pd
import pytest

from tests.training.conftest import shared


@pytest.fixture(scope="session")
def airline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of English messages in the form that `brain train sentiment --data` reads."""
    frame = pd.read_csv(shared("data/airline_tweets") / "Tweets.csv").rename(columns={"airline_sentiment": "label"})
    file = tmp_path_factory.mktemp("airline") / "messages.parquet"
    frame[["text", "label"]].to_parquet(file)
    return file


@pytest.fixture(scope="session")
def restaurants() -> dict[str, pd.DataFrame]:
    """Sentences by language, with columns `text` and `polarity`, the label."""
    folder = shared("data/absa_nl_restaurants")
    return {
        language: pd.concat(
            pd.read_csv(folder / f"{language}_{part}_sentences.csv").rename(columns={"aspect_polarities": "polarity"})
            for part in ("train", "dev")
        )
        for language in ("nl", "en")
    }
