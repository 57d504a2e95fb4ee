"""Class edges to the last bit, summaries and verdicts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.base.resolution_terms import LOCAL_CLASSES, LOCAL_EDGES_A
from cryoresdl.models.inference import claim_verdict

CHANCES = {"high": 0.9, "medium": 0.08, "low": 0.02}


class TestClasses:
    @pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
    @pytest.mark.parametrize("number,edge", list(enumerate(LOCAL_EDGES_A)))
    def test_every_edge_is_closed_on_the_right(self, kind, number, edge):
        below, at, above = np.nextafter(kind(edge), kind(0)), kind(edge), np.nextafter(kind(edge), kind(50))
        assert list(resolution_terms.class_of(np.array([below, at, above], kind))) == [
            number,
            number,
            number + 1,
        ]

    def test_not_estimated(self):
        values = np.array([0.0, -0.0, -3, np.nan, np.inf, -np.inf, 100, 100.5, np.nextafter(100, 0), 1e-30])
        assert list(resolution_terms.class_of(values)) == [-1] * 8 + [9, 0]

    def test_form(self):
        assert resolution_terms.class_of(4.2) == 3
        assert resolution_terms.class_of(np.ones((2, 3, 4))).shape == (2, 3, 4)
        assert resolution_terms.class_of(np.zeros(0)).dtype == np.int8
        assert list(resolution_terms.class_of(np.array([5, 6, 0]))) == [3, 4, -1]

    @given(st.floats(0, 99.99, exclude_min=True))
    def test_the_label_says_what_the_class_is(self, value):
        label = LOCAL_CLASSES[int(resolution_terms.class_of(value))]
        low, high = (10, 100) if label == "10+" else map(float, label.split("-"))
        assert low < value <= high

    @pytest.mark.parametrize(
        "value,name",
        [
            (0.1, "high"),
            (np.nextafter(5, 0), "high"),
            (5, "medium"),
            (10, "medium"),
            (np.nextafter(10, 11), "low"),
        ],
    )
    def test_global(self, value, name):
        assert resolution_terms.global_class(value) == name

    @pytest.mark.parametrize("value", [0, -1, np.nan])
    def test_global_needs_a_resolution(self, value):
        with pytest.raises(InputError):
            resolution_terms.global_class(value)


class TestSummary:
    def test_numbers(self):
        values = np.array([0, 3, 4, 5, 100, 30.0])
        mask = np.array([1, 1, 1, 1, 1, 0], bool)
        found = resolution_terms.summarize(values, mask)
        assert found["median_A"] == 4 and found["quartiles_A"] == [3.5, 4.5]
        assert found["n_voxels"] == 3 and found["coverage"] == pytest.approx(0.6)
        assert found["fractions"]["2-3"] == pytest.approx(1 / 3) and sum(
            found["fractions"].values()
        ) == pytest.approx(1)
        assert list(found["fractions"]) == list(LOCAL_CLASSES)
        assert resolution_terms.summarize(values)["fractions"]["10+"] == 0.25

    def test_nothing_estimated(self):
        found = resolution_terms.summarize(np.zeros((3, 3, 3)))
        assert found["median_A"] is None and found["quartiles_A"] is None and found["n_voxels"] == 0
        assert set(found["fractions"].values()) == {0.0}


def judge(claim, estimate=4.0, interval=(3.5, 4.6), inside=True, nyquist=2.0, summary=None):
    return claim_verdict.verdict(claim, estimate, interval, CHANCES, inside, nyquist, summary)


class TestVerdict:
    def test_edges_of_the_decision_interval(self):
        low, high = claim_verdict.decision_interval(4.0, (3.5, 4.6))
        assert low == pytest.approx(4 * (3.5 / 4) ** claim_verdict.DECISION_WIDTH)
        assert low < 3.5 and high > 4.6
        assert judge(low)["verdict"] == judge(high)["verdict"] == judge(4)["verdict"] == "supported"
        assert judge(np.nextafter(low, 0))["verdict"] == "optimistic"
        assert judge(np.nextafter(high, 99))["verdict"] == "pessimistic"

    def test_beyond_nyquist_is_optimistic_whatever_the_network_says(self):
        found = judge(3.0, estimate=3.0, interval=(2.5, 3.5), inside=False, nyquist=3.5)
        assert found["verdict"] == "optimistic" and "Nyquist" in found["reasons"][0]
        # A claim at Nyquist itself is not beyond it, whatever the header's rounding.
        assert judge(3.4999, estimate=3.5, interval=(3.4, 4.0), nyquist=3.5)["verdict"] == "supported"

    def test_cannot_tell(self):
        assert judge(3.0, inside=False)["verdict"] == "cannot tell"
        wide = judge(4.0, interval=(1.5, 11.0))
        assert wide["verdict"] == "cannot tell" and "uncertain" in wide["reasons"][0]

    def test_numbers_and_sentences(self):
        summary = resolution_terms.summarize(np.array([7.0, 8.0, 9.0]))
        found = judge(3.0, summary=summary)
        assert found["claimed_A"] == 3.0 and found["class_of_claim"] == "high"
        assert found["probability_of_that_class"] == 0.9 and found["nyquist_A"] == 2.0
        assert all(text.endswith(".") and "\n" not in text for text in found["reasons"])
        text = " ".join(found["reasons"])
        assert "median 8.0 A" in text and "finer than the local resolution" in text and "differ much" in text
        assert "coarser" in " ".join(judge(12.0, summary=summary)["reasons"])

    @pytest.mark.parametrize("claim", [0, -1, np.nan, np.inf, "x", None])
    def test_bad_claims(self, claim):
        with pytest.raises(InputError, match="claimed"):
            judge(claim)

    @given(
        claim=st.floats(0.5, 50),
        estimate=st.floats(1, 40),
        low=st.floats(0, 1),
        high=st.floats(0, 1),
        inside=st.booleans(),
    )
    def test_any(self, claim, estimate, low, high, inside):
        found = judge(claim, estimate, (estimate * 2**-low, estimate * 2**high), inside)
        assert found["verdict"] in ("supported", "optimistic", "pessimistic", "cannot tell")
        a, b = found["decision_interval_A"]
        assert a <= estimate * (1 + 1e-9) and b >= estimate * (1 - 1e-9)
        if found["verdict"] == "supported":
            assert a <= claim <= b
