"""The one door to TensorFlow and Keras."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from typing import Any, Iterator, Tuple

from ..base import machine, quiet_libraries
from ..base.errors import InputError


def import_tensorflow() -> Tuple[Any, Any]:
    """Import TensorFlow and its Keras, quietly; 3 to 7 s the first time.

    Returns:
        The modules ``tensorflow`` and ``keras``.

    Raises:
        InputError: TensorFlow is not installed in this interpreter, or this processor cannot run it.
    """
    if not machine.has_avx():
        raise InputError(
            "TensorFlow needs a processor with AVX, which this one lacks; train, and run the paper's U-Net and CNN, on "
            "another machine."
        )
    quiet_libraries.confine()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # TensorFlow takes oneDNN by itself only where there is AVX-512; with AVX2, its 3D convolutions are 3 times as fast.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        # TensorFlow loads requests for services that are not used here, and loading it opens a socket.
        with quiet_stderr(), quiet_libraries.stand_in("requests"):
            quiet_libraries.import_matplotlib()
            import keras
            import tensorflow as tf
    except ImportError as error:
        raise InputError(
            f"This needs TensorFlow, which this Python lacks ({error}); install it, run 'scipion3 installb cryoresdl', "
            "or set CRYORESDL_PYTHON to a Python that has it."
        ) from error
    return tf, keras


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what libraries write to the error stream themselves, and show it only where what is done here fails.

    TensorFlow's own code prints lines while it is imported that no setting of it stops.
    """
    try:
        before = os.dup(2)
    except OSError:  # a process without an error stream
        yield
        return
    with tempfile.TemporaryFile() as kept:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(before, kept.read())
            raise
        finally:
            os.dup2(before, 2)
            os.close(before)
