"""Every heading of another program finds its column and unit, or none."""

from __future__ import annotations

import pytest

from bridge.smlm.columns import COLUMNS, HEADINGS, REQUIRED, WRITERS, read_heading, recognise_format


@pytest.mark.parametrize(
    ("text", "column", "unit"),
    [
        ("x [nm]", "x_nm", "nm"),
        ("x  [nm]", "x_nm", "nm"),
        (" x[nm] ", "x_nm", "nm"),
        ("x [um]", "x_nm", "um"),
        ("x [\u00b5m]", "x_nm", "um"),
        ("x [\u03bcm]", "x_nm", "um"),
        ("x [px]", "x_nm", "px"),
        ("x [pixels]", "x_nm", "px"),
        ("x", "x_nm", ""),
        ("X (nm)", "x_nm", "nm"),
        ("x-nm", "x_nm", "nm"),
        ("x_nm_", "x_nm", "nm"),
        ("x..nm.", "x_nm", "nm"),
        ("x_nm", "x_nm", "nm"),
        ("x [furlong]", "x_nm", "?"),
        ("intensity [photon]", "photons", "photon"),
        ("intensity [photons]", "photons", "photon"),
        ("intensity [ADU]", "photons", "ADU"),
        ("intensity", "photons", ""),
        ("intensity_photon_", "photons", "photon"),
        ("Photon #", "photons", "photon"),
        ("Photons", "photons", "photon"),
        ("photons", "photons", "photon"),
        ("offset [photon]", "background", "photon"),
        ("bkgstd [photon]", "background_std", "photon"),
        ("uncertainty [nm]", "uncertainty_xy_nm", "nm"),
        ("uncertainty_xy [nm]", "uncertainty_xy_nm", "nm"),
        ("uncertainty_z [nm]", "uncertainty_z_nm", "nm"),
        ("uncertainty_photons", "uncertainty_photons", "photon"),
        ("sigma_x [nm]", "sigma1_nm", "nm"),
        ("Sigma [nm]", "sigma_nm", "nm"),
        ("X precision (nm)", "uncertainty_x_nm", "nm"),
        ("chi2", "chi2", ""),
        ("detections", "detections", ""),
        ("confidence [a.u]", "", "?"),
        ("z_rel [nm]", "", "nm"),
        ("angle [rad]", "", "?"),
        ("", "", ""),
    ],
)
def test_a_heading_is_read_by_name_and_unit(text, column, unit):
    heading = read_heading(text, "thunderstorm")
    assert (heading.column, heading.unit) == (column, unit)


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_our_heading_for_thunderstorm_and_our_own_name_are_read_back(column):
    for text in (column.heading, column.name):
        heading = read_heading(text, "thunderstorm")
        assert (heading.column, heading.unit) == (column.name, column.unit)


def test_thunderstorms_default_heading_is_written_as_it_writes_it():
    names = "id frame x_nm y_nm sigma_nm photons background background_std chi2 uncertainty_xy_nm"
    assert ",".join(f'"{COLUMNS[name].heading}"' for name in names.split()) == (
        '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]",'
        '"bkgstd [photon]","chi2","uncertainty_xy [nm]"'
    )


def test_columns_end_with_their_unit_where_it_is_a_length():
    for column in COLUMNS.values():
        assert column.name.endswith("_nm") == (column.unit == "nm")
        assert column.meaning
    assert set(REQUIRED) <= set(COLUMNS)


def test_every_format_names_the_columns_that_a_table_needs():
    assert set(HEADINGS) == set(WRITERS)
    for headings in HEADINGS.values():
        columns = [column for column, _ in headings.values()]
        assert set(REQUIRED) <= set(columns)
        assert set(columns) <= set(COLUMNS)


@pytest.mark.parametrize(
    ("headings", "found"),
    [
        (["id", "frame", "x [nm]", "y [nm]"], "thunderstorm"),
        (["xnm", "ynm", "frame", "phot"], "smap"),
        (["Ground-truth", "frame", "xnano", "ynano", "znano", "intensity "], "challenge"),
        (["Channel Name", "X", "Y", "Xc", "Yc", "Frame"], "nstorm"),
        (["x", "y", "z", "frame_ix", "phot"], "decode"),
    ],
)
def test_a_format_is_recognised_by_its_headings(headings, found):
    assert recognise_format(headings) == found
