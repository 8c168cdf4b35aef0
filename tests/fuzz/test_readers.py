"""Changed copies of small seed files: every reader reads them or refuses them in one line."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.fuzz.readers import READERS, Fuzzer, change


@pytest.fixture(scope="module")
def fuzzers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fuzzer]:
    """A fuzzer for each reader."""
    return {name: Fuzzer(name, tmp_path_factory.mktemp("fuzz")) for name in READERS}


@pytest.mark.parametrize("name", READERS)
def test_seeds_are_read(fuzzers: dict[str, Fuzzer], name: str) -> None:
    """An unchanged seed is read, so that changes reach the code behind the first check."""
    assert fuzzers[name].feed(fuzzers[name].seed) in ({"read", "refused"} if name == "space" else {"read"})


@pytest.mark.parametrize("name", READERS)
def test_changed_files_are_read_or_refused(fuzzers: dict[str, Fuzzer], name: str) -> None:
    """No changed copy is a traceback; hypothesis finds the smallest number of a case that is one."""

    @hypothesis_settings(max_examples=60, database=None, derandomize=True)
    @given(number=st.integers(0, 2**32))
    def feed(number: int) -> None:
        data = change(fuzzers[name].seed, random.Random(number))
        outcome = fuzzers[name].feed(data)
        assert outcome in ("read", "refused"), f"{outcome}\n{data[:500]!r}"

    feed()
