"""Agreement of local-resolution volumes, by hand and through the command."""

import json

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.cli import command_line
from cryoresdl.models.cli.commands import compare
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader, mrc_writer
from cryoresdl.models.results import result_files, verdict_words, volume_comparison

SHAPE = (6, 7, 8)


def estimate(name, values):
    return volume_comparison.Estimate(name, np.asarray(values, np.float32))


def volumes(seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(3, 9, SHAPE).astype(np.float32)


class TestCompare:
    def test_by_hand(self):
        first = np.zeros((1, 1, 6))
        first[0, 0] = [2.5, 3.5, 4.5, 0, 5.5, 6.5]
        second = np.zeros((1, 1, 6))
        second[0, 0] = [2.5, 4.5, 6.5, 4.5, 100, 6.5]
        mask = np.ones((1, 1, 6), bool)
        mask[0, 0, 5] = False
        found = volume_comparison.compare([estimate("a", first), estimate("b", second)], mask)
        pair = found["pairs"][0]
        assert pair["names"] == ["a", "b"] and pair["n_voxels"] == 3
        assert pair["coverage"] == pytest.approx(0.6)
        assert pair["exact_class"] == pytest.approx(1 / 3) and pair["within_one_class"] == pytest.approx(
            2 / 3
        )
        assert pair["bias_A"] == pytest.approx(1.0)
        assert found["cross_table"] == {"names": ["a", "b"], "percent": [[100.0, 33.33], [33.33, 100.0]]}
        assert [item["n_voxels"] for item in found["volumes"]] == [4, 4]

    def test_three_volumes_make_three_pairs(self):
        same = volumes()
        found = volume_comparison.compare([estimate("a", same), estimate("b", same), estimate("c", same + 1)])
        assert [pair["names"] for pair in found["pairs"]] == [["a", "b"], ["a", "c"], ["b", "c"]]
        assert found["pairs"][0]["kappa"] == 1 and found["pairs"][1]["spearman"] == pytest.approx(1)
        assert found["pairs"][1]["mae_affine_A"] == pytest.approx(0, abs=1e-5)
        json.dumps(found, allow_nan=False)

    def test_relions_filled_background_is_left_out_without_a_mask(self):
        first, filled = volumes(), volumes(1)
        filled[3:] = 8.86
        found = volume_comparison.compare([estimate("a", first), estimate("RELION", filled)])
        assert found["pairs"][0]["n_voxels"] == 3 * 7 * 8
        assert "8.86" in found["warnings"][0]
        with_mask = volume_comparison.compare(
            [estimate("a", first), estimate("RELION", filled)], np.ones(SHAPE, bool)
        )
        assert with_mask["pairs"][0]["n_voxels"] == 3 * 7 * 8 and "8.86" in with_mask["warnings"][0]

    def test_what_a_program_estimates_in_solvent_does_not_count(self):
        """Recent RELION: up to 50 A in solvent; the other volume says where the molecule is."""
        masked, everywhere = np.zeros(SHAPE, np.float32), volumes(1)
        masked[2:4, 2:5, 2:6] = volumes()[2:4, 2:5, 2:6]
        outside = masked == 0
        everywhere[outside] = 20 + 10 * volumes(2)[outside] / 9
        found = volume_comparison.compare([estimate("net", masked), estimate("RELION", everywhere)])
        relion = found["volumes"][1]
        assert relion["n_voxels"] == 24 and relion["median_A"] < 9
        assert any(text.startswith("RELION: estimates fill most of the box") for text in found["warnings"])
        alone = volume_comparison.compare([estimate("a", everywhere), estimate("b", everywhere + 1)])
        assert any("give a mask" in text for text in alone["warnings"])

    @pytest.mark.parametrize(
        "change, said", [(lambda a: 80 / a, "against each other"), (lambda a: a / 1.25, "factor 0.8")]
    )
    def test_another_unit_is_named(self, change, said):
        first = volumes()
        found = volume_comparison.compare([estimate("a", first), estimate("b", change(first))])
        assert any(said in text for text in found["warnings"])
        other = volume_comparison.compare([estimate("a", first), estimate("b", volumes(1))])
        assert not any("unit" in text or "against" in text for text in other["warnings"])

    def test_nothing_in_common(self):
        first, second = volumes(), volumes()
        first[:3], second[3:] = 0, 0
        found = volume_comparison.compare([estimate("a", first), estimate("b", second)])
        assert found["pairs"][0]["n_voxels"] == 0 and found["pairs"][0]["kappa"] is None
        assert "no estimated voxel in common" in found["warnings"][0]
        assert found["cross_table"]["percent"][0][1] is None
        json.dumps(found, allow_nan=False)

    def test_disagreement(self):
        spread = volume_comparison.disagreement(
            [np.array([[[3.0, 0, 5, 100]]]), np.array([[[4.0, 4, 5, 4]]]), np.array([[[8.0, 0, 0, np.nan]]])]
        )
        np.testing.assert_allclose(spread, [[[5, 0, 0, 0]]])
        assert spread.dtype == np.float32
        masked = volume_comparison.disagreement(
            [np.full((1, 1, 2), 3.0), np.full((1, 1, 2), 4.0)], np.array([[[True, False]]])
        )
        np.testing.assert_allclose(masked, [[[1, 0]]])


class TestWords:
    @pytest.mark.parametrize(
        "word,expected",
        [
            ("a.mrc=net", ("a.mrc", "net")),
            ("x=1.mrc=net", ("x=1.mrc", "net")),
            ("dir/mono.res.mrc.gz", ("dir/mono.res.mrc.gz", "mono")),
        ],
    )
    def test_path_and_name(self, word, expected):
        assert volume_comparison.parse(word) == expected

    def test_a_file_with_an_equals_sign(self, tmp_path):
        (tmp_path / "a=b.mrc").write_bytes(b"")
        assert volume_comparison.parse(str(tmp_path / "a=b.mrc")) == (str(tmp_path / "a=b.mrc"), "a=b")

    @pytest.mark.parametrize("word", ["=name", "a.mrc=", "="])
    def test_refused(self, word):
        with pytest.raises(InputError, match="VOL=NAME"):
            volume_comparison.parse(word)


class TestCommand:
    def write(self, tmp_path):
        like = density_map.DensityMap(volumes(), 1.5, (3.0, 4.0, 5.0))
        mrc_writer.write_volume(tmp_path / "map.mrc", volumes(5), like)
        mrc_writer.write_volume(tmp_path / "a.mrc", like.data, like)
        mrc_writer.write_volume(tmp_path / "b.mrc", like.data + 1, density_map.DensityMap(like.data, 1.0))
        mask = np.zeros(SHAPE, bool)
        mask[2:5] = True
        mrc_writer.write_volume(tmp_path / "mask.mrc", mask, like)
        return [str(tmp_path / name) for name in ("a.mrc", "b.mrc", "mask.mrc", "map.mrc")]

    def test_writes_everything(self, tmp_path, capsys):
        a, b, mask, density = self.write(tmp_path)
        out = tmp_path / "out"
        words = ["compare", f"{a}=net", f"{b}=Mono Res", "--mask", mask, "--map", density, "--out", str(out)]
        assert command_line.main(words) == 0
        assert "net / Mono Res: kappa" in capsys.readouterr().out
        found = json.loads((out / result_files.COMPARISON_JSON).read_text())
        assert found["mask_voxels"] == 3 * 7 * 8 and found["pairs"][0]["bias_A"] == pytest.approx(1)
        spread = mrc_reader.read_values(out / result_files.DISAGREEMENT)
        assert spread.origin == (3.0, 4.0, 5.0) and spread.voxel_size == 1.5
        assert spread.data[3].min() == pytest.approx(1, abs=1e-5) and spread.data[0].max() == 0
        assert {path.name for path in (out / "figures").iterdir()} == {
            "agreement.png",
            "disagreement.png",
            "scatter.png",
            "histogram.png",
        }
        assert command_line.main(words) == 2 and command_line.main(words + ["--resume"]) == 0
        assert "already complete" in capsys.readouterr().out

    def test_other_volumes_or_names_are_compared_again(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(compare, "draw_comparison", lambda out: None)  # drawn in the test above
        a, b, mask, density = self.write(tmp_path)
        words = ["compare", "--out", str(tmp_path / "out"), "--resume"]
        for more in ([a, f"{b}=x"], [a, f"{b}=y"], [a, f"{density}=y"], [a, f"{density}=y", "--mask", mask]):
            assert command_line.main([*words, *more]) == 0
            assert "already" not in capsys.readouterr().out
            found = json.loads((tmp_path / "out" / result_files.COMPARISON_JSON).read_text())
            assert [one["name"] for one in found["volumes"]] == ["a", more[1][-1]]
        like = mrc_reader.read_values(a)
        mrc_writer.write_volume(tmp_path / "a.mrc", like.data + 2, like)
        assert command_line.main([*words, *more]) == 0 and "already" not in capsys.readouterr().out
        assert command_line.main([*words, *more]) == 0 and "already complete" in capsys.readouterr().out

    def test_bad_words(self, tmp_path, capsys):
        a, b, mask, density = self.write(tmp_path)
        other = density_map.DensityMap(np.ones((5, 5, 5), np.float32), 1.0)
        mrc_writer.write_volume(tmp_path / "small.mrc", other.data, other)
        small = str(tmp_path / "small.mrc")
        for words in (
            [a],
            [f"{a}=x", f"{b}=x"],
            [a, small],
            [a, b, "--mask", small],
            [a, b, "--map", small],
            [a, "none.mrc"],
        ):
            assert command_line.main(["compare", *words, "--out", str(tmp_path / "out")]) == 2
            assert len(capsys.readouterr().err.splitlines()) == 1
        assert not (tmp_path / "out").exists()

    def test_betagal(self, shared, tmp_path):
        """Anchors: MonoRes has a rank correlation of 0.68 with RELION's local resolution, ResMap 0.00."""
        folder = shared / "maps"
        words = [f"{folder}/relion_betagal_{kind}.gz" for kind in ("locres.map", "monores.mrc", "resmap.map")]
        density = mrc_reader.read(folder / "relion_betagal.map.gz")
        parsed = [volume_comparison.parse(word) for word in words]
        estimates, _ = volume_comparison.load_volumes(parsed, density)
        mask = mask_reader.read_mask(folder / "relion_betagal_mask.mrc.gz", density)
        pairs = volume_comparison.compare(estimates, mask)["pairs"]
        assert pairs[0]["spearman"] == pytest.approx(0.68, abs=0.03)
        assert pairs[1]["spearman"] == pytest.approx(0.0, abs=0.03)


def test_a_comparison_in_words_names_median_coverage_and_agreement_and_what_is_too_little():
    """The report's verdict used to name none of it; ResMap covered 0.4 % of a map and looked like any other."""
    ours = np.full((20, 20, 20), 4.0, np.float32)
    resmap = np.where(np.arange(8000).reshape(ours.shape) % 250 == 0, 5.0, 100.0).astype(np.float32)
    estimates = [
        volume_comparison.Estimate("CryoResDL", ours),
        volume_comparison.Estimate("MonoRes", ours + 1),
        volume_comparison.Estimate("ResMap", resmap),
    ]
    found = volume_comparison.compare(estimates, np.ones(ours.shape, bool))
    lines = verdict_words.comparison_lines(found)
    assert lines[1] == "MonoRes: median 5.00 A, estimated in 100 % of the mask."
    assert lines[2] == "ResMap: median 5.00 A, estimated in 0.4 % of the mask: too little to compare with."
    assert lines[3].startswith("CryoResDL and MonoRes: mean difference 1.00 A, within one class 100 %")
    panel = verdict_words.verdict_lines({"class": "high"}, None, found)
    assert "MonoRes: median 5.00 Å, estimated in 100 % of the mask." in panel
    assert verdict_words.comparison_lines(None) == verdict_words.comparison_lines({"volumes": []}) == []
