import csv
import json

import numpy as np
import pytest

from cryoresdl.models.batch import audit_map, map_variants
from cryoresdl.models.cli import command_line
from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.models.inference.answers import LocalResult
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.networks.model_files import model_store
from cryoresdl.models.results.figures import comparison_figures

VOXEL = 1.5


def detailed_ball(box, radius):
    """A ball of smooth detail in noise, and its mask."""
    rng = np.random.default_rng(3)
    grids = np.meshgrid(*[np.arange(box) - (box - 1) / 2] * 3, indexing="ij")
    away = np.sqrt(sum(g**2 for g in grids))
    wave = np.sin(grids[0] * 0.7) * np.sin(grids[1] * 0.6) * np.sin(grids[2] * 0.5)
    data = np.where(away < radius, 3 + 3 * wave, 0) + 0.3 * rng.standard_normal(away.shape)
    return density_map.DensityMap(data.astype(np.float32), VOXEL), away < radius + 1.5


@pytest.fixture(scope="module")
def blob():
    """A small one."""
    return detailed_ball(40, 11)


def test_a_resampled_map_is_the_same_density_on_coarser_voxels(blob):
    density, mask = blob
    smooth = map_variants.filtered(density, 8.0)
    small, cut = map_variants.resampled(smooth, mask, (32, 32, 32))
    assert small.voxel_size == pytest.approx(VOXEL * 40 / 32) and small.data.shape == (32,) * 3
    assert np.allclose(small.data[::4, ::4, ::4], smooth.data[::5, ::5, ::5], atol=0.02 * smooth.data.std())
    assert cut.sum() / mask.sum() == pytest.approx(0.8**3, rel=0.1)


def test_sharpening_and_blurring_by_the_same_factor_undo_each_other(blob):
    density, _ = blob
    there = map_variants.with_b_factor(density, -50.0)
    assert there.data.std() > 1.02 * density.data.std()
    assert np.allclose(map_variants.with_b_factor(there, 50.0).data, density.data, atol=1e-3)


def test_masks_grow_and_shrink_by_voxels():
    mask = np.zeros((20, 20, 20), bool)
    mask[6:14, 6:14, 6:14] = True
    assert map_variants.grown(mask, 2)[10, 10].sum() == 12 and map_variants.grown(mask, -2)[10, 10].sum() == 4


def test_variants_leave_out_what_cannot_be_asked(blob):
    density, mask = blob
    groups = {one.group for one in map_variants.variants_of(density, mask, 6.0, 8.0)}
    assert groups == {"mask", "sharpening", "low-pass", "sampling", "voxel size"}
    tiny = np.zeros(mask.shape, bool)
    tiny[18:22, 18:22, 18:22] = True
    left = map_variants.variants_of(density, tiny, None, 3.2)
    assert [one.name for one in left if one.group == "mask"] == ["mask grown by 4 A"]
    assert not {"low-pass", "sampling"} & {one.group for one in left}


def test_a_variant_is_judged_as_localres_judges_it():
    density, mask = detailed_ball(64, 16)
    variants = {one.name: one for one in map_variants.variants_of(density, mask, 6.0, 8.0)}
    slower = {
        "mask shrunk by 4 A": (density, map_variants.grown(mask, -4 / VOXEL)),
        "blurred by 50 A^2": (map_variants.with_b_factor(density, 50.0), mask),
        "voxel size -2 %": (density_map.DensityMap(density.data, 0.98 * VOXEL), mask),
    }
    for name, (changed, its_mask) in slower.items():
        quick = local_resolution.quick_answer(variants[name].see())
        whole = local_resolution.localres(changed, mask=its_mask)
        assert quick.info["median_A"] == pytest.approx(whole.info["median_A"], rel=0.02), name
        assert quick.info["n_voxels"] == whole.info["n_voxels"] == its_mask.sum()
        entries = [
            global_resolution.classify(changed, claimed=6.0, local=answer) for answer in (quick, whole)
        ]
        assert entries[0]["resolution_A"] == pytest.approx(entries[1]["resolution_A"], rel=0.01), name
        assert entries[0]["claim"]["verdict"] == entries[1]["claim"]["verdict"]


def halves_of(density, seed=7):
    """Two half maps whose mean is the map, and that differ by white noise."""
    noise = 2.0 * np.random.default_rng(seed).standard_normal(density.data.shape).astype(np.float32)
    return tuple(
        density_map.DensityMap(density.data + sign * noise, VOXEL, path=f"half{n}")
        for n, sign in ((1, 1), (2, -1))
    )


def test_half_maps_are_judged_in_the_maps_place_as_localres_judges_them():
    density, mask = detailed_ball(64, 16)
    halves = halves_of(density)
    known = local_resolution.localres(density, *halves, mask=mask)
    found = audit_map.audit(density, mask, 6.0, halves=halves, known=known)
    assert found.half_maps and found.sentences[-1] == audit_map.HALVES_DECIDE
    assert [one.group for one in found.cases] == ["", "mask", "mask", "voxel size", "voxel size"]
    slower = {
        audit_map.AS_GIVEN: (VOXEL, mask),
        "mask shrunk by 4 A": (VOXEL, map_variants.grown(mask, -4 / VOXEL)),
        "mask grown by 4 A": (VOXEL, map_variants.grown(mask, 4 / VOXEL)),
        "voxel size -2 %": (0.98 * VOXEL, mask),
    }
    for name, (voxel, its_mask) in slower.items():
        (case_,) = (one for one in found.cases if one.name == name)
        whole, *both = (density_map.DensityMap(each.data, voxel) for each in (density, *halves))
        answer = local_resolution.localres(whole, *both, mask=its_mask)
        entry = global_resolution.classify(whole, claimed=6.0, local=answer)
        assert answer.info["half_maps"] and answer.info["half_map_fsc0143_A"]
        assert case_.resolution_A == pytest.approx(entry["resolution_A"], rel=0.02), name
        assert case_.local_median_A == pytest.approx(answer.info["median_A"], rel=0.02), name
        assert case_.verdict == entry["claim"]["verdict"], name
    alone = audit_map.audit(density, mask, 6.0)
    assert not alone.half_maps and alone.cases[0].resolution_A != found.cases[0].resolution_A


def test_a_mask_that_grows_beyond_the_surroundings_is_not_cut():
    data = np.random.default_rng(0).standard_normal((96,) * 3).astype(np.float32)
    mask = np.zeros(data.shape, bool)
    mask[40:56, 40:56, 40:56] = True
    fine = density_map.DensityMap(data, 0.2)  # 4 A are 20 voxels
    wide = next(one for one in map_variants.variants_of(fine, mask, None, None) if "grown" in one.name).see()
    edge = min(part.start for part in wide.features.region)
    assert edge <= 40 - 20 and wide.features.mask_cells.sum() * 8 >= wide.mask.sum()


def case(group, name, resolution, verdict):
    return audit_map.AuditCase(
        group, name, "high", resolution, resolution - 1, resolution + 1, resolution, verdict
    )


def test_a_verdict_that_turns_over_is_said_and_one_that_does_not_too():
    cases = [
        case("", audit_map.AS_GIVEN, 4.0, "supported"),
        case("mask", "mask grown by 4 A", 4.2, "supported"),
        case("mask", "mask shrunk by 4 A", 3.2, "pessimistic"),
        case("voxel size", "voxel size +2 %", 4.1, "supported"),
    ]
    sentences, turned = audit_map._in_words(cases)
    assert turned == ["mask shrunk by 4 A"]
    assert (
        "turns from supported to pessimistic when the mask is shrunk by 4 A (estimate 3.20 to 4.20 A)"
        in sentences[0]
    )
    assert sentences[1].startswith("The verdict does not hang on 2 % of the voxel size")
    figure = comparison_figures.audit_figure([vars(one) for one in cases], 4.0)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["supported", "pessimistic", "claim 4 Å"]


def test_a_verdict_that_turns_over_is_said_in_the_verdict_itself(blob, monkeypatch):
    cases = [
        case("", audit_map.AS_GIVEN, 4.0, "supported"),
        case("mask", "mask shrunk by 4 A", 3.2, "pessimistic"),
        case("voxel size", "voxel size +2 %", 4.1, "optimistic"),
    ]
    said = audit_map._turning(cases, [one.name for one in cases[1:]])
    assert "supported as given, and pessimistic when the mask is shrunk by 4 A and optimistic when" in said
    assert audit_map._turning(cases, []) == ""
    density, mask = blob
    local = LocalResult(density.data, density.data, density.data, mask)
    local.info["model"] = {"name": model_store.DEFAULT_LOCAL_MODEL, "digest": ""}
    given = []

    def audit(*_, known, **__):
        given.append(known)
        return audit_map.Audit(None, 4.0, cases, turning=said)

    monkeypatch.setattr(audit_map, "audit", audit)
    entry = {"claim": {"reasons": ["It fits."]}}
    audit_map.audit_of_answer(density, None, local, entry, (4.0, "0.143"))
    assert entry["claim"]["reasons"] == ["It fits.", said]
    # Another model's answer is not the default one's, which is asked anew.
    local.info["model"] = {"name": "monores", "digest": ""}
    audit_map.audit_of_answer(density, None, local, {"claim": None}, (None, "0.143"))
    assert given == [local, None]


def test_command_writes_json_table_and_picture(blob, tmp_path, capsys):
    density, mask = blob
    mrc_writer.write_volume(tmp_path / "map.mrc", density.data, density)
    mrc_writer.write_volume(tmp_path / "mask.mrc", mask.astype(np.int8), density)
    words = ["audit", str(tmp_path / "map.mrc"), "--mask", str(tmp_path / "mask.mrc"), "--claimed", "6"]
    assert command_line.main([*words, "--out", str(tmp_path / "o"), "--quiet"]) == 0
    told = json.loads((tmp_path / "o" / "audit.json").read_text())
    rows = list(csv.DictReader((tmp_path / "o" / "audit.csv").open()))
    assert [row["name"] for row in rows] == [one["name"] for one in told["cases"]]
    assert told["cases"][0]["name"] == audit_map.AS_GIVEN and len(told["cases"]) >= 7
    assert told["sentences"] and told["sentences"][0] in capsys.readouterr().out
    assert (tmp_path / "o" / "audit.png").read_bytes().startswith(b"\x89PNG")
    assert command_line.main([*words, "--out", str(tmp_path / "o")]) == 2
    halves = [str(tmp_path / f"half{n}.mrc") for n in (1, 2)]
    for path, half in zip(halves, halves_of(density)):
        mrc_writer.write_volume(path, half.data, density)
    judged = [*words, "--half1", halves[0], "--half2", halves[1], "--out", str(tmp_path / "h"), "--quiet"]
    assert (
        command_line.main(judged) == 0
        and json.loads((tmp_path / "h" / "audit.json").read_text())["half_maps"]
    )
    capsys.readouterr()
    assert command_line.main([*words, "--half1", halves[0], "--out", str(tmp_path / "x"), "--quiet"]) == 2
    assert "--half2" in capsys.readouterr().err and not (tmp_path / "x").exists()
