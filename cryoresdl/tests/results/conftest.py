"""What tests of results share."""

import pytest

from cryoresdl.models.results.report import build_report
from cryoresdl.tests.helpers import made_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = made_results.validation(tmp_path_factory.mktemp("report") / "run")
    build_report.write_report(folder, pdf=True)
    return folder
