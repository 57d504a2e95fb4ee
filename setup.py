"""Packaging of scipion-em-cryoresdl: a Scipion 3 plugin and its stand-alone engine."""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"', (HERE / "cryoresdl" / "__init__.py").read_text(), re.M
).group(1)

# TensorFlow is published under two names that install the same import package: `tensorflow` (can use a GPU) and
# `tensorflow-cpu` (less than half the size). Whichever is installed must be the one named in our metadata, or pip
# would fetch the other one on top and `pip check` would complain. So the name is chosen when the package is built:
#   CRYORESDL_GPU unset  tensorflow            (a plain `pip install`, `scipion3 installp`, the released wheel)
#   CRYORESDL_GPU=0      tensorflow-cpu        (what `make install` sets)
#   CRYORESDL_GPU=1      tensorflow[and-cuda]  (TensorFlow with NVIDIA's libraries)
TENSORFLOW = {"0": "tensorflow-cpu", "1": "tensorflow[and-cuda]"}.get(
    os.environ.get("CRYORESDL_GPU", ""), "tensorflow"
)

# Scipion's own installer still makes Python 3.8 environments. There the plugin installs without the networks,
# which then run from the environment that `scipion3 installb cryoresdl` builds with a newer Python.
CAN_HOST_NETWORKS = '; python_version >= "3.10"'

setup(
    name="scipion-em-cryoresdl",
    version=VERSION,
    description="Deep-learning validation of the global and local resolution of cryo-EM maps, in Scipion and alone",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="GPL-3.0-or-later",
    author="The CryoResDL developers",
    keywords="scipion electron-microscopy cryo-em local-resolution validation deep-learning scipion-3.0",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Bio-Informatics",
    ],
    packages=find_packages(include=["cryoresdl", "cryoresdl.*"]),
    package_data={
        "cryoresdl": ["protocols.conf", "cryoresdl_logo.png", "templates/*", "data/*"],
        "cryoresdl.models": [
            "weights/*.cryoresdl",
            "weights/*.csv",
            "results/report/templates/*",
            "training/recipes/*.toml",
        ],
        "cryoresdl.tests.fuzz": ["*.md"],
        "cryoresdl.tests.helpers": ["quick/*.py", "audited/*.py"],
    },
    python_requires=">=3.8",
    install_requires=[
        "scipion-em>=3.11",
        "scipion-pyworkflow>=3.11",
        "numpy",
        "scipy",
        "mrcfile",
        "h5py",
        "matplotlib",
        "Pillow",
        "gemmi",
        "Jinja2",
        "threadpoolctl",
        "pooch",
        "tomli; python_version < '3.11'",
        TENSORFLOW + CAN_HOST_NETWORKS,
        "openvino" + CAN_HOST_NETWORKS,
    ],
    extras_require={
        "xmipp": ["scipion-em-xmipp"],
        "resmap": ["scipion-em-resmap"],
        "dask": ["distributed", "dask-jobqueue"],
        "test": [
            "pytest",
            "pytest-cov",
            "pytest-xdist",
            "hypothesis",
            "psutil",
            "distributed",
            "dask-jobqueue",
        ],
        "lint": ["ruff", "mypy", "vermin", "import-linter"],
        "docs": ["sphinx", "myst-parser"],
    },
    entry_points={
        "pyworkflow.plugin": ["cryoresdl = cryoresdl"],
        "console_scripts": ["cryoresdl = cryoresdl.models.cli:main"],
    },
)
