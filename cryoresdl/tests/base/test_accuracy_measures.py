"""Metrics against numbers known by hand, above all the paper's tables 3 to 5."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryoresdl.models.base import accuracy_measures
from cryoresdl.models.base.errors import InputError

DNN = np.array([[10, 0, 0], [4, 5, 1], [2, 5, 3]])
CNN = np.array([[10, 0, 0], [5, 4, 1], [3, 4, 3]])
TABLE_5 = {
    "DNN": (DNN, {"high": (100, 70, 62.5, 100), "medium": (50, 75, 50, 75), "low": (30, 95, 75, 73.1)}),
    "CNN": (CNN, {"high": (100, 60, 55.6, 100), "medium": (40, 80, 50, 72.7), "low": (30, 95, 75, 73.1)}),
}


class TestClasses:
    @pytest.mark.parametrize("network", TABLE_5)
    def test_table_5_from_tables_3_and_4(self, network):
        matrix, printed = TABLE_5[network]
        found = accuracy_measures.one_vs_rest(matrix)
        for name, numbers in printed.items():
            row = found[name]
            measured = [100 * row[key] for key in ("sensitivity", "specificity", "ppv", "npv")]
            assert [round(value, 1) for value in measured] == list(numbers)
            assert row["sensitivity_n"] == 10 and row["specificity_n"] == 20

    @pytest.mark.parametrize("network,agreement", [("DNN", 60.0), ("CNN", 56.7)])
    def test_combined_agreement(self, network, agreement):
        found = accuracy_measures.accuracy(TABLE_5[network][0])
        assert round(100 * found["accuracy"], 1) == agreement
        assert found["accuracy_n"] == 30 and found["majority_baseline"] == pytest.approx(1 / 3)

    def test_the_matrices_are_the_papers(self, shared):
        text = (shared / "paper" / "avramov2019.txt").read_text()
        for table, matrix in (("3", DNN), ("4", CNN)):
            part = text[text.index(f"Table {table}. ") :][:400]
            rows = re.findall(r"(?:High|Medium|Low)\t(\d+)\t(\d+)\t(\d+)", part)
            np.testing.assert_array_equal(np.array(rows[:3], int), matrix)

    def test_confusion(self):
        matrix = accuracy_measures.confusion([0, 0, 1, 2], [0, 1, 1, 0])
        np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 0]])
        assert accuracy_measures.confusion([], []).sum() == 0
        for bad in (([0], [3]), ([-1], [0]), ([0, 1], [0])):
            with pytest.raises(InputError):
                accuracy_measures.confusion(*bad)

    def test_a_class_that_never_occurs_has_no_sensitivity(self):
        found = accuracy_measures.one_vs_rest(np.diag([3, 4, 0]))["low"]
        assert found["sensitivity"] is None and found["sensitivity_interval"] is None and found["npv"] == 1


class TestIntervals:
    def test_wilson_against_published_values(self):
        # Newcombe (1998), table I.
        for good, total, low, high in (
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0, 0.1611),
        ):
            assert accuracy_measures.wilson(good, total) == pytest.approx((low, high), abs=1e-4)
        for bad in ((1, 0), (3, 2), (-1, 4)):
            with pytest.raises(InputError):
                accuracy_measures.wilson(*bad)

    @given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_wilson_holds_the_proportion(self, case):
        low, high = accuracy_measures.wilson(*case)
        assert 0 <= low <= case[0] / case[1] + 1e-12 and case[0] / case[1] - 1e-12 <= high <= 1

    def test_bootstrap_is_over_maps_and_repeatable(self):
        values = np.random.default_rng(0).normal(5, 1, 50)
        low, high = accuracy_measures.bootstrap(values)
        assert (low, high) == accuracy_measures.bootstrap(values)
        assert low < values.mean() < high and 0.4 < high - low < 0.7  # 2 x 1.96 / sqrt(50)
        assert accuracy_measures.bootstrap([3.0]) == (3.0, 3.0)
        with pytest.raises(InputError):
            accuracy_measures.bootstrap([])

    def test_mean_over_maps(self):
        found = accuracy_measures.mean_over_maps([1.0, None, 3.0, float("nan")])
        assert found["mean"] == found["median"] == 2.0 and found["maps"] == 2
        assert accuracy_measures.mean_over_maps([None])["mean"] is None


class TestCalibration:
    def test_by_hand(self):
        p = np.array([[0.9, 0.1, 0]] * 10)
        truth = [0] * 8 + [1] * 2
        found = accuracy_measures.calibration(p, truth)
        assert found["ece"] == pytest.approx(0.1)
        assert found["ece_classwise"] == pytest.approx((0.1 + 0.1 + 0) / 3)
        assert found["bins"] == [{"confidence": pytest.approx(0.9), "accuracy": 0.8, "count": 10}]

    def test_calibrated_forecasts_have_none(self):
        rng = np.random.default_rng(0)
        p = rng.dirichlet((1, 1, 1), 40000)
        truth = (rng.random(40000)[:, None] > np.cumsum(p, 1)).sum(1)
        found = accuracy_measures.calibration(p, truth)
        assert found["ece"] < 0.012 and found["ece_classwise"] < 0.012
        assert sum(row["count"] for row in found["bins"]) == found["n"] == 40000
        sharp = p**3 / (p**3).sum(1, keepdims=True)
        assert accuracy_measures.calibration(sharp, truth)["ece"] > 0.1
        assert accuracy_measures.brier(p, truth) < accuracy_measures.brier(sharp, truth)

    def test_refuses_what_is_not_a_probability(self):
        for p, truth in (
            ([[0.5, 0.2]], [0]),
            (np.zeros((0, 3)), []),
            ([[1.5, -0.5]], [0]),
            ([[1.0, 0]], [0, 1]),
        ):
            with pytest.raises(InputError):
                accuracy_measures.calibration(np.array(p), truth)

    def test_coverage(self):
        assert accuracy_measures.coverage(
            np.array([1, 2, 3.0]), np.array([1, 0, 0.0]), np.array([2, 2, 2.0])
        ) == pytest.approx(2 / 3)
        assert accuracy_measures.coverage(np.zeros(0), np.zeros(0), np.zeros(0)) is None


class TestKappa:
    def test_published_example(self):
        # Cohen (1960): two raters, 50 proposals.
        assert accuracy_measures.kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)
        # Quadratic weights by hand: 1 - sum(w o) / sum(w e) with o off-diagonals (0,1) 2 and (0,2) 1.
        matrix = np.array([[5, 2, 1], [0, 4, 0], [0, 0, 4]])
        expected = np.outer(matrix.sum(1), matrix.sum(0)) / 16
        cost = np.array([[0, 1, 4], [1, 0, 1], [4, 1, 0]])
        assert accuracy_measures.kappa(matrix, "quadratic") == pytest.approx(1 - 6 / (cost * expected).sum())

    def test_undefined(self):
        assert accuracy_measures.kappa(np.zeros((3, 3))) is None
        assert accuracy_measures.kappa(np.diag([4, 0, 0])) is None

    def test_chance_and_perfection(self):
        rng = np.random.default_rng(0)
        a, b = rng.integers(0, 10, (2, 20000))
        assert abs(accuracy_measures.kappa(accuracy_measures.confusion(a, b, 10))) < 0.02
        assert accuracy_measures.kappa(accuracy_measures.confusion(a, a, 10)) == 1


class TestLocal:
    def test_against_scipy(self):
        from scipy import stats

        rng = np.random.default_rng(0)
        a = rng.integers(3, 9, 500).astype(float)  # with ties
        b = a + rng.normal(size=500)
        assert accuracy_measures.spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
        assert accuracy_measures.pearson(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
        assert (
            accuracy_measures.pearson(a, np.ones(500)) is None
            and accuracy_measures.spearman(a[:1], b[:1]) is None
        )

    def test_agreement_by_hand(self):
        found = accuracy_measures.agreement(np.array([2.5, 3.5, 4.5, 8.5]), np.array([3.5, 3.5, 6.5, 8.5]))
        assert found["n_voxels"] == 4 and found["exact_class"] == 0.5 and found["within_one_class"] == 0.75
        assert found["bias_A"] == pytest.approx(0.75) and found["mae_A"] == pytest.approx(0.75)

    def test_affine_bias_is_removed(self):
        truth = np.random.default_rng(0).uniform(3, 9, 1000)
        found = accuracy_measures.agreement(truth, 2 * truth + 1)
        assert found["mae_A"] > 5 and found["mae_affine_A"] == pytest.approx(0, abs=1e-9)
        constant = accuracy_measures.agreement(truth, np.full(1000, 4.0))
        assert constant["mae_affine_A"] == pytest.approx(np.mean(np.abs(truth - truth.mean())))

    def test_no_voxel(self):
        found = accuracy_measures.agreement(np.zeros(0), np.zeros(0))
        assert found["n_voxels"] == 0 and found["mae_A"] is None

    def test_of_one_map_with_baselines(self):
        truth = np.array([[[3.5, 3.5, 3.5, 5.5, 0.0, 7.0]]])
        said = np.array([[[3.4, 4.5, 3.5, 5.5, 4.0, 0.0]]])
        mask = np.array([[[1, 1, 1, 1, 1, 1]]], bool)
        half = np.full(truth.shape, 0.5)
        found = accuracy_measures.local_metrics(truth, said, mask, half, global_A=4.0)
        assert found["n_voxels"] == 4 and found["coverage"] == pytest.approx(0.8)
        assert found["exact_class"] == 0.75 and found["interval_coverage"] == 0.75
        base = found["baselines"]
        assert base["majority_class"] == {"class": "3-4", "exact_class": 0.75, "within_one_class": 0.75}
        assert base["best_constant"]["value_A"] == 3.5 and base["best_constant"]["mae_A"] == pytest.approx(
            0.5
        )
        assert base["global_value"]["mae_A"] == pytest.approx(0.75)
        mask[..., 1:] = False
        assert accuracy_measures.local_metrics(truth, said, mask)["n_voxels"] == 1
        assert accuracy_measures.local_metrics(truth * 0, said)["coverage"] is None

    def test_combination_over_maps(self):
        rows = [accuracy_measures.agreement(np.array([3.0, 4]), np.array([3.0, 4 + d])) for d in (0.0, 1.0)]
        found = accuracy_measures.combine_local(rows)
        assert found["mae_A"]["mean"] == 0.25 and found["mae_A"]["maps"] == 2
        assert accuracy_measures.combine_local([]) == {}

    def test_recorded_monores_errors(self, shared):
        """The figures of the shared index were made by another program, with a slightly other mask."""
        import json

        from cryoresdl.models.maps.mrc import mrc_reader

        folder = shared / "local_resolution"
        for entry in json.loads((folder / "index.json").read_text())[:4]:
            truth = mrc_reader.read_values(folder / entry["id"] / "truth.mrc.gz").data
            monores = mrc_reader.read_values(folder / entry["id"] / "monores.mrc.gz").data
            found = accuracy_measures.local_metrics(truth, monores)
            assert found["mae_A"] == pytest.approx(entry["monores_MAE_A"], abs=0.02)
            assert found["spearman"] == pytest.approx(entry["monores_spearman"], abs=0.05)
            assert found["coverage"] == pytest.approx(entry["monores_coverage"], abs=0.02)
            everywhere = accuracy_measures.local_metrics(truth, truth)["baselines"]["best_constant"]
            assert everywhere["mae_A"] == pytest.approx(entry["best_constant_MAE_A"], abs=0.02)
