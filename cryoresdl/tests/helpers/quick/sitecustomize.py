"""Python runs this at start where the folder is on PYTHONPATH: the engine answers at once, without networks.

Worker processes start from scratch, so what a test patches in its own process does not reach them.
"""

import importlib
import importlib.machinery
import os
import sys

INSTANT = {
    "cryoresdl.models.inference.local_resolution": "localres",
    "cryoresdl.models.inference.global_resolution": "classify",
}


class Finder(importlib.machinery.PathFinder):
    """Finds the engine's modules as usual, and puts the stand-in's function in once they are loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """The usual specification; its loader patches two modules."""
        if name not in INSTANT:
            return None
        spec = super().find_spec(name, path, target)
        load = spec.loader.exec_module
        if os.environ.get("CRYORESDL_TEST_BROKEN_ENGINE"):
            raise ImportError("broken on purpose")

        def exec_module(module):
            load(module)
            instant = importlib.import_module("cryoresdl.tests.helpers.fake_engine")
            setattr(module, INSTANT[name], getattr(instant, INSTANT[name]))

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder)
