import os
import types

import numpy as np
import pytest

pytest.importorskip("pwem")

import pyworkflow as pw  # noqa: E402
from pwem.objects import Volume  # noqa: E402
from pwem.protocols import ProtImportVolumes  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402
from pyworkflow.viewer import DESKTOP_TKINTER  # noqa: E402

from cryoresdl import protocols  # noqa: E402
from cryoresdl.models.base.errors import CryoResError
from cryoresdl.models.maps import automatic_mask, density_map
from cryoresdl.models.maps.mrc import mask_reader, mrc_writer
from cryoresdl.models.networks import paper_networks
from cryoresdl.models.results.figures.slices import slice_figure  # noqa: E402

# noqa: E402
# noqa: E402
# noqa: E402
from cryoresdl.tests.helpers import virtual_screen  # noqa: E402
from cryoresdl.tests.helpers.virtual_screen import settle  # noqa: E402
from cryoresdl.wizards import tools, wizards  # noqa: E402

pytestmark = pytest.mark.scipion


def two_balls(box=40, voxel=2.0):
    """A large ball of density 1 and a speck, with a little noise."""
    z, y, x = np.indices((box,) * 3) - box // 2
    data = (z**2 + y**2 + x**2 < 11**2).astype(np.float32)
    data[2:4, 2:4, 2:4] = 4
    data += 0.02 * np.random.default_rng(1).standard_normal(data.shape).astype(np.float32)
    return density_map.DensityMap(data, voxel, (1.0, 2.0, 3.0))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    pw.Config.setDomain("pwem")
    here = os.getcwd()
    project = Manager().createProject("Wizards")
    os.chdir(project.path)
    path = str(tmp_path_factory.mktemp("map") / "ball.mrc")
    density = two_balls()
    mrc_writer.write_volume(path, density.data, density)
    run = project.newProtocol(ProtImportVolumes, filesPath=path, samplingRate=2.0)
    project.launchProtocol(run, wait=True)
    project.imported = run
    yield project
    os.chdir(here)


@pytest.fixture
def form(project):
    """What a wizard sees of a form window: its protocol, setVar and, where there is one, a Tk root."""
    os.chdir(project.path)
    run = project.newProtocol(protocols.ProtCryoResValidate)
    run.inputVolumes.set(project.imported)
    run.inputVolumes.setExtended("outputVolume")
    values = {}
    return types.SimpleNamespace(protocol=run, setVar=values.__setitem__, values=values, root=None)


@pytest.fixture
def screen():
    return virtual_screen.root()


def test_every_wizard_finds_its_parameters():
    for name in ("ProtCryoResValidate", "ProtCryoResTrainGlobal", "ProtCryoResTrainLocal"):
        run = getattr(protocols, name)()
        found = pw.Config.getDomain().findWizards(run, DESKTOP_TKINTER)
        ours = {p for p, wizard in found.items() if wizard.__module__.startswith("cryoresdl")}
        wanted = (
            {"inputMask", "inputVolumes", "globalModel", "localModel"} if "Validate" in name else {"batch"}
        )
        assert ours == wanted
        assert all(run.hasAttribute(param) or run.getParam(param) is not None for param in ours)


def test_mask_keeps_the_molecule_without_specks_and_grows_it():
    low = automatic_mask.low_passed(two_balls())
    mask = low.above(0.5)
    assert mask[20, 20, 20] and not mask[2, 2, 2]
    grown = mask.sum() / (4 / 3 * np.pi * 11**3)
    assert 1.2 < grown < 2.5
    assert not low.above(99.0).any()


@pytest.mark.parametrize("voxel", [1.0, 2.0])
def test_at_the_automatic_threshold_the_wizards_mask_is_the_automatic_one(voxel):
    density = two_balls(voxel=voxel)
    mask, info = automatic_mask.auto_mask(density)
    low = automatic_mask.low_passed(density)
    assert mask.any() and np.array_equal(low.above(info["threshold"]), mask)
    assert low.whole().shape == density.data.shape


def test_mask_figure_covers_what_lies_above_the_threshold():
    density = two_balls()
    low = automatic_mask.low_passed(density)
    smooth = low.whole()
    figure = slice_figure.MaskFigure(density.data, smooth, 2.0)
    figure.set_index(20)
    figure.set_threshold(0.5)
    assert all(np.array_equal(cover, smooth[20] > 0.5) for cover in covered(figure))
    figure.set_axis("x", 4)
    assert all(np.array_equal(cover, smooth[:, :, 4] > 0.5) for cover in covered(figure))
    mask = low.above(0.5)
    figure.set_mask(mask)
    figure.set_index(5)
    assert all(np.array_equal(cover, mask[:, :, 5]) for cover in covered(figure))
    figure.set_threshold(0.7)
    assert all(np.array_equal(cover, smooth[:, :, 5] > 0.7) for cover in covered(figure))


def covered(figure):
    """What is covered on the map and on the low-passed map."""
    return [np.asarray(image.get_array())[..., 3] > 0 for image in figure.images[2:]]


def test_mask_becomes_a_run_of_the_project(project, tmp_path):
    density = two_balls()
    path = str(tmp_path / "mask.mrc")
    mrc_writer.write_volume(path, (density.data > 0.5).astype(np.int8), density)
    run = wizards.importMask(project, path, 2.0, 0.5)
    assert run.outputMask.getSamplingRate() == 2.0 and run.getObjLabel() == "mask above 0.5"
    assert mask_reader.read_mask(run.outputMask.getFileName(), density).sum() == (density.data > 0.5).sum()


def test_mask_window_uses_the_threshold_of_the_slider(form, screen):
    form.root = screen
    dialog = wizards.MaskDialog(form, two_balls())
    settle(screen)
    before = dialog.slices.threshold
    dialog._threshold.set(0.8)
    settle(screen)
    assert dialog.slices.threshold == pytest.approx(0.8) != before
    assert "threshold 0.8 " in dialog._note.cget("text")
    settle(screen, 0.8)
    # When the slider rests, the mask that will be used is shown, and its size is told.
    wanted = dialog.lowPassed.above(0.8)
    assert np.array_equal(covered(dialog.slices)[0], wanted[dialog.slices.index])
    assert "%.1f %% of the box in the mask" % (100 * wanted.mean()) in dialog._note.cget("text")
    dialog.use()
    pointer = form.values["inputMask"]
    assert (
        mask_reader.read_mask(pointer.get().getFileName(), two_balls()).sum()
        == dialog.lowPassed.above(0.8).sum()
    )


def test_sampling_report_tells_agreement_from_contradiction(form):
    lines = wizards.samplingLines(wizards.inputVolume(form.protocol))
    assert "agree: 2 Å/voxel" in lines[0] and "80 x 80 x 80 Å" in lines[1] and "4 Å" in lines[1]
    density = two_balls()
    lines = tools.sampling_report(density, 1.0, density.data > 0.5)
    assert "header says 2" in lines[0] and "factor of 2" in lines[0]


def test_memory_report_tells_what_fits_and_how_much_to_bin():
    mask = np.zeros((400, 400, 400), bool)
    mask[150:250, 150:250, 150:250] = True
    # 200 MB + 28 bytes for each of 400^3 voxels + 40 for each of (100 + 32)^3.
    assert "up to 2.1 GB of memory; 4.0 GB are free here: it fits" in tools.memory_report(
        (400,) * 3, mask, 4 * 10**9
    )
    short = tools.memory_report((400,) * 3, mask, 5 * 10**8)
    assert "bin the map 2 times" in short
    assert "bin the map 3 times" in tools.memory_report((400,) * 3, mask, 27 * 10**7)
    assert "not known" in tools.memory_report((400,) * 3, mask, None)


def test_the_sampling_wizard_ends_with_the_memory(form):
    assert "of memory" in wizards.samplingLines(wizards.inputVolume(form.protocol))[-1]


def test_mass_follows_the_cube_of_the_sampling_rate():
    density = two_balls()
    mask = density.data > 0.5
    masses = [
        int(tools.sampling_report(density, rate, mask)[2].split("about ")[1].split(" ")[0]) for rate in (2, 4)
    ]
    assert masses[0] == pytest.approx(mask.sum() * 8 * 0.81 / 1000, abs=1)
    assert masses[1] / masses[0] == pytest.approx(8, rel=0.1)


def test_wizards_say_what_to_do_without_a_volume(form):
    form.protocol.inputVolumes.set(None)
    with pytest.raises(CryoResError, match="Choose a volume"):
        wizards.inputVolume(form.protocol)
    form.protocol.inputVolumes.set(Volume(location="gone.mrc"))
    with pytest.raises(CryoResError, match="gone.mrc"):
        wizards.inputVolume(form.protocol)


def test_batch_fits_the_memory_and_never_passes_the_papers():
    huge = tools.batch_suggestion(paper_networks.CNN, 1.0, None, 10**12)
    assert huge["batch"] == 75 and "the paper's number" in huge["text"]
    some = tools.batch_suggestion(paper_networks.CNN, 1.0, None, 4 * 10**9)
    assert 0 < some["batch"] < 75
    assert tools.batch_suggestion(paper_networks.UNET, 1.0, None, 10**9)["batch"] == 0
    assert "smaller width" in tools.batch_suggestion(paper_networks.UNET, 1.0, None, 10**9)["text"]
    assert tools.batch_suggestion(paper_networks.UNET, 0.125, None, 10**9)["batch"] == 32
    assert tools.batch_suggestion(paper_networks.DNN, 1.0, None, None)["batch"] == 150


def test_batch_of_each_training_protocol():
    local = protocols.ProtCryoResTrainLocal()
    assert wizards.batchFor(local, 10**12)["batch"] == 0  # the recommended network keeps its own
    local.network.set(1)
    assert wizards.batchFor(local, 10**12)["batch"] == 32
    trained = protocols.ProtCryoResTrainGlobal()
    for choice, batch in ((0, 0), (1, 75), (2, 150)):
        trained.network.set(choice)
        assert wizards.batchFor(trained, 10**12)["batch"] == batch


def test_model_dialog_shows_the_card_of_the_selected_network(screen, tmp_path, monkeypatch):
    from cryoresdl.models.networks.model_files import model_archive, model_store

    for name, value in (("first", 0.5), ("second", 0.75)):
        card = {"name": name, "kind": "local", "network": {"name": "u-net"}, "metrics": {"mae_A": value}}
        model_archive.save_model(tmp_path / f"{name}.cryoresdl", card, {"w": np.zeros(3, np.float32)})
    monkeypatch.setenv("CRYORESDL_MODELS", str(tmp_path))
    models = [model for model in model_store.available() if model.name in ("first", "second")]
    monkeypatch.setattr(wizards.ModelDialog, "wait_window", lambda self, *_: None, raising=False)
    monkeypatch.setattr(wizards.ModelDialog, "grab_set", lambda self: None, raising=False)
    dialog = wizards.ModelDialog(screen, models, "second")
    assert dialog.selected().name == "second" and "mae_A: 0.75" in dialog._card.get("1.0", "end")
    dialog._list.selection_clear(0, "end")
    dialog._list.selection_set(0)
    dialog.showCard()
    assert "mae_A: 0.5" in dialog._card.get("1.0", "end")
    dialog.apply()
    assert dialog.chosen == "first"
    dialog.destroy()


def test_cards_of_the_shipped_networks_read_as_sentences():
    from cryoresdl.models.networks.model_files import model_card, model_store

    for model in model_store.available():
        lines = model_card.in_words(model_store.read_card(model.path))
        text = "\n".join(lines)
        assert "Å" in lines[0] and "never saw:" in text and "Learned from" in text, model.name
        assert [line for line in lines if line.startswith("    ")], model.name
        assert ("A network of the paper." in text) == model.name.startswith("paper")


def test_cards_say_the_measured_numbers_and_never_fail():
    from cryoresdl.models.networks.model_files import model_card

    card = {
        "kind": "local",
        "training": {"labels": "monores"},
        "data": {"maps": {"train": 36, "test": 12}},
        "metrics": {"maps": 12, "single_mae_A": 0.831, "single_within1": 0.857, "halves_mae_A": 0.5},
    }
    assert model_card.in_words(card) == [
        "Gives every voxel a resolution (Å): what MonoRes would say.",
        "Learned from 36 maps; 12 kept apart for testing.",
        "How good, on 12 maps that it never saw:",
        "    one map: mean error 0.83 Å, within one class 86 %",
        "    both half maps: mean error 0.50 Å",
    ]
    for card in ({}, {"metrics": None, "data": 3}, {"kind": "global", "metrics": {"all": {"accuracy": "x"}}}):
        assert "not measured" in model_card.in_words(card)[-1]


def test_card_lines_count_long_lists_and_indent_groups():
    from cryoresdl.models.networks.model_files import model_card

    metrics = {"all": {"mae_A": 0.6123456789, "rows": 3}, "note": None}
    lines = model_card.card_lines({"name": "m", "metrics": metrics, "curve": list(range(30)), "empty": {}})
    expected = [
        "name: m",
        "metrics:",
        "  all:",
        "    mae_A: 0.612346",
        "    rows: 3",
        "  note: ",
        "curve: 30 values",
    ]
    assert lines == expected
