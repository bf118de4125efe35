"""Names of streams and keys are HMAC-SHA256 of what they name."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from features.ledger.records import keyed_hash


@given(st.binary(max_size=200), st.text())
def test_a_name_is_the_hmac_of_what_it_names(secret: bytes, text: str) -> None:
    expected = hmac.digest(secret, text.encode(errors="surrogatepass"), "sha256").hex()[:40]
    assert keyed_hash(secret, text) == expected
    assert keyed_hash(secret, text) == expected, "the prepared hashes stay as they are"
