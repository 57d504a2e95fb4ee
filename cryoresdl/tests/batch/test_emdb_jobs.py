"""What an entry of the EMDB brings into a job."""

import pytest

from cryoresdl.models.batch import emdb_jobs
from cryoresdl.models.batch.jobs import Job
from cryoresdl.models.maps.emdb_download import EmdbEntry


@pytest.mark.parametrize(
    ("method", "claimed", "criterion"),
    [
        ("FSC 0.5 CUT-OFF", None, "0.5"),
        ("FSC 0.5", None, "0.5"),
        ("fsc .5", None, "0.5"),
        ("FSC 0.143 CUT-OFF", None, "0.143"),
        ("DIFFRACTION PATTERN/LAYERLINES", None, "0.143"),
        ("", None, "0.143"),
        ("FSC 0.5 CUT-OFF", 9.0, "0.143"),
    ],
)
def test_the_claim_of_an_entry_is_judged_by_the_fsc_that_its_authors_name(
    method, claimed, criterion, monkeypatch
):
    entry = EmdbEntry(name="EMD-1024", map="x.map", resolution_A=11.0, method=method)
    monkeypatch.setattr(emdb_jobs, "fetch_entry", lambda number, halves: entry)
    job, found = emdb_jobs.with_entry(Job("EMD-1024", claimed=claimed))
    assert found is entry and job.map == "x.map"
    assert (job.claimed, job.criterion) == (claimed or 11.0, criterion)
