"""JSON whose objects have a key twice is refused, however it is written."""

import pytest

from decisioning.errors import RequestError
from decisioning.strict_json import read_json


@pytest.mark.parametrize(
    "text", ['{"a" :1,"a":2}', '{"a":1,"a"\t:2}', '[{"b":{"a"\n:1,"a":2}}]', '{"b":"\\":","a"\r :1,"a":2}']
)
def test_a_key_is_found_twice_where_white_space_hides_one_of_them(text: str) -> None:
    """As many keys are followed by a colon at once as the objects that were read have."""
    with pytest.raises(RequestError, match="a: stands twice in one object"):
        read_json(text)


@pytest.mark.parametrize("text", ['{"a":"\\":"}', '{"a" : {"a" : "b"}}', '[{"a":1},{"a":2}]', '{"a":"b :"}'])
def test_no_key_stands_twice_where_a_text_looks_like_one(text: str) -> None:
    assert read_json(text)
