"""Lists of structures, triples and known maps; bad rows are named."""

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.datasets import input_lists, patch_set
from cryoresdl.models.datasets.map_set_file import DatasetFile
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.tests.helpers.set_inputs import write_triple


def test_cluster_files_of_cd_hit_and_of_the_pdb(tmp_path):
    cdhit = tmp_path / "nr40.clstr"
    cdhit.write_text(
        ">Cluster 0\n0\t120aa, >1abc... at 41.00%\n1\t300aa, >2DEF... *\n>Cluster 1\n0\t99aa, >3ghi... *\n"
    )
    assert input_lists.read_clusters(cdhit) == [["2def", "1abc"], ["3ghi"]]
    rcsb = tmp_path / "clusters-by-entity-40.txt"
    rcsb.write_text("9XYZ_1 1ABC_1 2DEF_2\n3GHI_1\n\n")
    for name in ("1abc", "2def", "3ghi", "4jkl"):
        (tmp_path / f"{name}.pdb").write_text("END\n")
    entries = input_lists.find_structures(tmp_path, clusters=rcsb)
    assert [(entry.name, entry.cluster) for entry in entries] == [("1abc", "0"), ("3ghi", "1")]
    (tmp_path / "none.txt").write_text("9zzz_1\n")
    with pytest.raises(InputError, match="No structure"):
        input_lists.find_structures(tmp_path, clusters=tmp_path / "none.txt")


def test_splits_and_voxel_sizes_of_the_table_are_kept(tmp_path):
    lines = [write_triple(tmp_path, f"m{number}", number) for number in range(2)]
    table = tmp_path / "t.csv"
    table.write_text(f"map,label,mask,voxel_size,split\n{lines[0]},2.5,test\n{lines[1]},,train\n")
    recipe = patch_set.PatchSetRecipe(patch=16)
    patch_set.build_patch_set(input_lists.read_triples(table), tmp_path / "l.h5", recipe)
    with DatasetFile(tmp_path / "l.h5") as data:
        for number, (split, voxel) in enumerate(((2, 2.5), (0, 1.2))):
            rows = data.column("source") == number
            assert set(data.splits[rows]) == {split}
            assert data.column("voxel_size")[rows] == pytest.approx(voxel)


@pytest.mark.parametrize(
    "text, says",
    [
        ("map,label\na,b\n", "column 'mask'"),
        ("map,label,mask\n", "no column|no rows"),
        ("map,label,mask,split\na,b,c,weird\n", "split"),
        ("map,label,mask,voxel_size\na,b,c,-1\n", "voxel size"),
        ("name,map,label,mask\nx,a,b,c\nx,a,b,c\n", "names two maps alike"),
    ],
)
def test_bad_tables_of_triples(tmp_path, text, says):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        input_lists.read_triples(tmp_path / "t.csv")


def known_csv(folder, rows, header="map,resolution,voxel_size,split"):
    (folder / "known.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "known.csv"


def test_known_maps_are_read_from_a_table(tmp_path):
    path = known_csv(tmp_path, ["a.mrc,3.5,1.2,train", "sub/b.mrc,8,,"])
    first, second = input_lists.read_known_maps(path)
    assert input_lists.lists_known_maps(path)
    assert (first.map, first.resolution, first.voxel_size) == (str(tmp_path / "a.mrc"), 3.5, 1.2)
    assert (second.map, second.voxel_size, second.split) == (str(tmp_path / "sub/b.mrc"), None, "")
    triples = known_csv(tmp_path, ["a.mrc,l.mrc,m.mrc"], "map,label,mask")
    assert not input_lists.lists_known_maps(triples)


@pytest.mark.parametrize("row", ["a.mrc,-3,,", "a.mrc,fine,,", "a.mrc,,,", "a.mrc,3,0,", "a.mrc,3,1,half"])
def test_bad_rows_of_known_maps_are_refused(tmp_path, row):
    with pytest.raises(InputError, match="known.csv"):
        input_lists.read_known_maps(known_csv(tmp_path, [row]))


def test_known_maps_become_items_that_only_the_global_model_may_learn_from(tmp_path):
    from cryoresdl.models.datasets.feature_sets import feature_set_builder, feature_set_file

    rows = []
    for number in range(3):
        simulated = ball_map(number)
        mrc_writer.write_volume(tmp_path / f"m{number}.mrc", simulated.data, simulated)
        rows.append(f"m{number}.mrc,{4 + number},,{('train', 'validation', 'test')[number]}")
    rows.append("m0.mrc,1.0,,train")  # beyond Nyquist
    known = input_lists.read_known_maps(known_csv(tmp_path, rows))
    made = feature_set_builder.build_from_triples(known, tmp_path / "k.h5", feature_set_file.KNOWN)
    assert made["made"] == 3 and "cannot reach 1 A" in made["skipped"][0]
    item = feature_set_file.read_items(tmp_path / "k.h5", "validation")[0]
    assert item.info["kind"] == "known" and item.info["global_fsc0143_A"] == 5.0
    assert set(np.unique(item.truth)) == {0.0, 5.0}
    pytest.importorskip("tensorflow")
    from cryoresdl.models.training import local_fit

    with pytest.raises(InputError, match="one resolution per map"):
        local_fit.fit_local(tmp_path / "k.h5", tmp_path / "out")


def ball_map(seed):
    """A noisy ball, 32^3 voxels of 1.5 A."""
    rng = np.random.default_rng(seed)
    grid = np.indices((32, 32, 32)) - 16
    data = 2.0 * (np.sqrt((grid**2).sum(0)) < 9) + 0.2 * rng.normal(size=(32, 32, 32))
    return density_map.DensityMap(data.astype(np.float32), 1.5)
