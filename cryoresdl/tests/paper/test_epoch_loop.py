"""Training: the same numbers after a kill, the paper's recipe, and the exact short cut for the DNN."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy.fft import dct

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.networks import paper_networks, paper_predictors
from cryoresdl.models.paper import dnn_compression, dnn_dual_solver, epoch_loop, examples
from cryoresdl.models.paper.keras_stepper import KerasStepper
from cryoresdl.models.training import run_files
from cryoresdl.tests.helpers.places import REPOSITORY
from cryoresdl.tests.helpers.small_training import blobs, recipe


def dual(seed=3, **changes):
    network = paper_networks.describe_network(paper_networks.DNN, 0.1, 8)
    return dnn_dual_solver.GramStepper(blobs(33), blobs(12, seed=1), recipe(**changes), seed, network)


def test_paper_recipes():
    assert epoch_loop.PAPER_RECIPES["paper-dnn"] == epoch_loop.EpochRecipe("sgd", 0.01, 150, 1000, 50)
    assert epoch_loop.PAPER_RECIPES["paper-cnn"] == epoch_loop.EpochRecipe("sgd", 0.01, 75, 1500, None)
    unet = epoch_loop.PAPER_RECIPES["paper-unet"]
    assert (unet.optimizer, unet.learning_rate, unet.batch, unet.patience) == ("adam", 0.001, 32, 1000)


def test_gram_descent_is_the_descent_of_keras(tmp_path):
    stepper = dual()
    network = paper_networks.describe_network(paper_networks.DNN, 0.1, 8)
    model = paper_networks.from_weights(
        paper_networks.build_paper_network(network), dnn_dual_solver.initial_dnn(network, 3)
    )
    keras_stepper = KerasStepper(model, blobs(33), blobs(12, seed=1), recipe(), 3, logits=True)
    start = stepper.weights(stepper.state())["dense1/kernel"]
    for epoch in range(1, 9):
        np.testing.assert_allclose(stepper.train_epoch(epoch), keras_stepper.train_epoch(epoch), rtol=2e-4)
        np.testing.assert_allclose(stepper.validate(), keras_stepper.validate(), rtol=2e-4)
    mine, theirs = stepper.weights(stepper.state()), paper_networks.to_weights(model)
    assert set(mine) == set(theirs) == set(paper_networks.weight_shapes(network))
    assert np.abs(theirs["dense1/kernel"] - start).max() > 1e-3
    for name, value in theirs.items():
        np.testing.assert_allclose(mine[name], value, atol=2e-5)


@pytest.mark.parametrize("count", [4, 12, 24])
def test_turned_maps_are_as_good_as_written_out(count):
    """The group's short cut gives the products, the order and the weights of a data set with every map turned."""
    few, validation = blobs(9), blobs(6, seed=1)
    group = dnn_dual_solver.rotations(count)
    assert len({matrix.tobytes() for matrix in group}) == count and (group[0] == np.eye(3)).all()
    turned = np.stack([dnn_dual_solver.turn(few.maps, matrix) for matrix in group], 1).reshape(-1, 8, 8, 8)
    written = examples.Arrays(turned, np.repeat(few.labels, count))
    network, chosen = paper_networks.describe_network(paper_networks.DNN, 0.1, 8), recipe(batch=20)
    one = dnn_dual_solver.GramStepper(few, validation, chosen, 1, network, count)
    other = dnn_dual_solver.GramStepper(written, validation, chosen, 1, network)
    for epoch in (1, 2, 3):
        np.testing.assert_allclose(one.train_epoch(epoch), other.train_epoch(epoch), rtol=1e-4)
        np.testing.assert_allclose(one.validate(), other.validate(), rtol=1e-4)
    a, b = one.weights(one.state()), other.weights(other.state())
    np.testing.assert_allclose(a["dense1/kernel"], b["dense1/kernel"], atol=1e-5)


def test_turning_a_cube_moves_voxels_as_the_matrix_says():
    cube = np.zeros((1, 5, 5, 5))
    cube[0, 4, 3, 2] = 1
    for matrix in dnn_dual_solver.rotations(24):
        place = np.argwhere(dnn_dual_solver.turn(cube, matrix)[0])[0] - 2
        np.testing.assert_array_equal(place, matrix @ [2, 1, 0])
    with pytest.raises(InputError, match="rotations"):
        dnn_dual_solver.rotations(7)


def test_products_are_kept_for_a_resumed_run(tmp_path, monkeypatch):
    network, cache = paper_networks.describe_network(paper_networks.DNN, 0.1, 8), tmp_path / "products.npz"
    arguments = (blobs(9), blobs(6, seed=1), recipe(), 1, network, 4, cache)
    first = dnn_dual_solver.GramStepper(*arguments, identity=[1]).train_epoch(1)
    with monkeypatch.context() as patch:
        patch.setattr(dnn_dual_solver.GramStepper, "_train_products", None)
        assert dnn_dual_solver.GramStepper(*arguments, identity=[1]).train_epoch(1) == first
    cache.write_bytes(cache.read_bytes()[:100])
    assert dnn_dual_solver.GramStepper(*arguments, identity=[1]).train_epoch(1) == first
    assert dnn_dual_solver.GramStepper(*arguments, identity=[2]).train_epoch(1) == first


def test_history_improves_and_is_written(tmp_path):
    lines = []
    history, best = epoch_loop.run_epochs(
        dual(epochs=40), recipe(epochs=40), tmp_path, {}, report=lines.append
    )
    columns = run_files.read_history(tmp_path / "history.csv", epoch_loop.HISTORY_COLUMNS)
    assert columns["epoch"] == list(range(1, 41)) and len(lines) == 40 and "ETA" in lines[0]
    assert columns["val_loss"][-1] < columns["val_loss"][0] * 0.8
    assert history.best_epoch == 1 + int(np.argmin(columns["val_loss"]))
    assert history.stopped == "all 40 epochs done"


class Scripted:
    """A stepper whose validation losses are given; its state is the number of epochs it saw."""

    def __init__(self, losses):
        self.losses, self.seen = losses, 0

    def train_epoch(self, epoch):
        self.seen = epoch
        return 1.0, 0.5

    def validate(self):
        return self.losses[self.seen - 1], 0.5

    def state(self):
        return {"seen": np.array(self.seen)}

    def restore(self, state):
        self.seen = int(state["seen"])


def test_early_stop_keeps_the_best_state(tmp_path):
    stepper = Scripted([5, 4, 3, 3, 3.5, 4, 1, 1])
    history, best = epoch_loop.run_epochs(stepper, recipe(epochs=8, patience=3), tmp_path, {})
    assert len(history.rows) == 6 and history.best_epoch == 3 and int(best["seen"]) == 3
    assert history.stopped == "no lower validation loss for 3 epochs"
    with pytest.raises(InputError, match="finite"):
        epoch_loop.run_epochs(Scripted([float("nan")]), recipe(), tmp_path, {})


def test_resume_repeats_epochs_after_the_last_checkpoint(tmp_path):
    whole, best = epoch_loop.run_epochs(dual(), recipe(), tmp_path, {"seed": 3})
    other = tmp_path / "other"
    other.mkdir()
    stepper, real, calls = dual(), dnn_dual_solver.GramStepper.train_epoch, []

    def dying(epoch):
        calls.append(epoch)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(stepper, epoch)

    stepper.train_epoch = dying
    with pytest.raises(KeyboardInterrupt):
        epoch_loop.run_epochs(stepper, recipe(), other, {"seed": 3}, checkpoint_every=3)
    again, best2 = epoch_loop.run_epochs(dual(), recipe(), other, {"seed": 3}, resume=True)
    assert again.rows == whole.rows and again.best_epoch == whole.best_epoch
    assert (other / "history.csv").read_bytes() == (tmp_path / "history.csv").read_bytes()
    for name in best:
        np.testing.assert_array_equal(best[name], best2[name])
    done, _ = epoch_loop.run_epochs(dual(), recipe(), other, {"seed": 3}, resume=True)
    assert done.rows == whole.rows


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path):
    epoch_loop.run_epochs(dual(), recipe(), tmp_path, {"seed": 3})
    with pytest.raises(InputError, match="seed"):
        epoch_loop.run_epochs(dual(), recipe(), tmp_path, {"seed": 4}, resume=True)
    data = (tmp_path / "checkpoint.npz").read_bytes()
    (tmp_path / "checkpoint.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="damaged"):
        epoch_loop.run_epochs(dual(), recipe(), tmp_path, {"seed": 3}, resume=True)
    (tmp_path / "history.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="not a training history"):
        run_files.read_history(tmp_path / "history.csv", epoch_loop.HISTORY_COLUMNS)


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from cryoresdl.models.networks import paper_networks, tensorflow_import
from cryoresdl.models.paper import epoch_loop, keras_stepper
from cryoresdl.tests.helpers.small_training import blobs, recipe
_, keras = tensorflow_import.import_tensorflow()
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
keras.utils.set_random_seed(5)
network = paper_networks.describe_network(paper_networks.CNN, 0.1, 8)
model = paper_networks.build_paper_network(network)
chosen = recipe(optimizer="adam", learning_rate=0.003, epochs=10)
stepper = keras_stepper.KerasStepper(model, blobs(24), blobs(9, seed=1), chosen, 5, logits=True)
def report(line):
    print(line, flush=True)
    time.sleep(float(sys.argv[2]))
epoch_loop.run_epochs(stepper, chosen, Path(sys.argv[1]), {"seed": 5}, resume=True, report=report)
"""


def test_kill_9_and_resume_give_the_same_history(tmp_path):
    """A CNN with dropout and Adam: order, dropout and moments must all come back."""
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))

    def start(folder, pause):
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(pause)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    whole = start(tmp_path / "whole", 0)
    killed = start(tmp_path / "killed", 0.2)
    for line in killed.stdout:
        if line.startswith("epoch 4/"):
            time.sleep(0.1)
            os.kill(killed.pid, signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL
    assert whole.wait() == 0
    history = run_files.read_history(tmp_path / "killed" / "history.csv", epoch_loop.HISTORY_COLUMNS)
    assert 4 <= len(history["epoch"]) < 10
    assert start(tmp_path / "killed", 0).wait() == 0
    first = run_files.read_history(tmp_path / "whole" / "history.csv", epoch_loop.HISTORY_COLUMNS)
    second = run_files.read_history(tmp_path / "killed" / "history.csv", epoch_loop.HISTORY_COLUMNS)
    assert second["epoch"] == first["epoch"] == list(range(1, 11))
    for name in epoch_loop.HISTORY_COLUMNS[1:]:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-5)
    assert not list((tmp_path / "killed").glob(".part-*.npz")) or len(history["epoch"]) > 0


def test_compressed_dnn_answers_like_the_full_one():
    # Smooth maps, as densities are: their cosine spectrum ends below the kept coefficients.
    random = np.random.default_rng(0)
    basis = dct(np.eye(8), axis=0, norm="ortho")[:3].astype(np.float32)
    waves = random.normal(size=(60, 3, 3, 3)).astype(np.float32)
    maps = np.einsum("nabc,ax,by,cz->nxyz", waves, basis, basis, basis)
    source = examples.Arrays(maps, np.arange(60) % 3)
    network = paper_networks.describe_network(paper_networks.DNN, 0.1, 8)
    weights = dnn_dual_solver.initial_dnn(network, 1)
    small, arrays = dnn_compression.compress_dnn(weights, source, 8, rank=27, cosines=8)
    from cryoresdl.models.networks.model_files.model_archive import Model

    full = Model({"name": "f", "kind": "global", "network": network}, weights)
    short = Model({"name": "s", "kind": "global", "network": small}, arrays)
    a, b = paper_predictors.classifier(full)(maps), paper_predictors.classifier(short)(maps)
    np.testing.assert_allclose(a, b, atol=0.02 * np.abs(a).max())
    assert sum(v.nbytes for v in arrays.values()) < 0.5 * sum(v.nbytes for v in weights.values())
    _, tiny = dnn_compression.compress_dnn(weights, source, 8, rank=3, cosines=4)
    assert tiny["dense1/neurons"].shape == (3, 100) and tiny["dense1/coefficients"].shape[0] < 64


def test_order_depends_on_seed_and_epoch_only():
    a = examples.epoch_order(50, 1, 2)
    assert sorted(a) == list(range(50))
    np.testing.assert_array_equal(a, examples.epoch_order(50, 1, 2))
    assert (a != examples.epoch_order(50, 1, 3)).any() and (a != examples.epoch_order(50, 2, 2)).any()
