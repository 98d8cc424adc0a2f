"""What may stand behind a URL's question mark, and what a wrong word there gets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamrnn.core.errors import ConfigError
from streamrnn.wire.options import StreamOptions, split


def test_split_takes_the_streams_and_leaves_the_links() -> None:
    query = {
        "baud": "9600",
        "format": "numbers",
        "rate": "62.5",
        "names": "t, acc_x,acc_y",
        "units": "g,g",
        "time": "t:ms",
        "seq": "3:16",
    }
    options, rest = split(query)
    assert rest == {"baud": "9600"}
    assert options == StreamOptions(
        "numbers", 62.5, ("t", "acc_x", "acc_y"), ("g", "g"), "t", "ms", "3", 16
    )
    assert split({}) == (StreamOptions(), {})
    assert split({"seq": "n"})[0].seq_bits == 0


@pytest.mark.parametrize("column", ["t_us", "micros", "uptime_ms", "Seconds", "t_s", "timeMs"])
def test_a_name_that_says_its_unit_needs_no_other(column: str) -> None:
    assert split({"time": column})[0].time_column == column


def test_an_index_is_looked_up_in_the_names() -> None:
    assert split({"time": "1", "names": "x,t_ms"})[0].time_unit == ""


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ({"format": "jsn"}, "format=jsn is no format (did you mean 'json'?)"),
        ({"rate": "fast"}, "rate=fast is no number of frames a second"),
        ({"rate": "0"}, "rate=0 is no number"),
        ({"rate": "inf"}, "rate=inf must be"),
        ({"rate": "nan"}, "rate=nan is no number"),
        ({"names": "a,a"}, "a name of its own"),
        ({"names": "a,,b"}, "a name of its own"),
        ({"names": "a\x1b[2J"}, r"names=a\x1b[2J: at most 64 printable"),
        ({"names": "a" * 65}, "at most 64 printable"),
        ({"names": ",".join(f"c{i}" for i in range(257))}, "256 columns are the most"),
        ({"time": "0"}, "time=0 does not say its unit: write time=0:us"),
        ({"time": "tick:min"}, "the unit of time is us, ms, s"),
        ({"time": ":us"}, "time=:us must name a column, as in time=t_ms:ms"),
        ({"seq": "n:"}, "seq=n: must name a column"),
        ({"seq": "n:12"}, "seq=n:12: use :8, :16 or :32 bits"),
        ({"time": "a:us", "seq": "a"}, "time= and seq= both name a"),
        ({"format": "wire", "names": "a"}, "format=wire takes no names="),
    ],
)
def test_a_wrong_word_gets_a_line_that_says_what_to_write(query: dict[str, str], line: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(line)):
        split(query)


@given(
    st.dictionaries(
        st.sampled_from(["format", "rate", "names", "units", "time", "seq", "x"]),
        st.one_of(st.text(), st.from_regex(r"[a-z0-9_]{0,4}:?(us|8|16|\\d)?", fullmatch=True)),
    )
)
def test_any_query_gives_options_or_one_line(query: dict[str, str]) -> None:
    rest: dict[str, str] | None = None
    line = ""
    try:
        _, rest = split(query)
    except ConfigError as error:
        line = str(error)
    assert line.isprintable()
    if not line:
        assert rest == {key: value for key, value in query.items() if key == "x"}
