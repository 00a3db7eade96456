"""The demo, as a newcomer runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge import open_image
from bridge.errors import OutputError
from bridge.jobs.demo import Demo
from bridge.progress import silent


@pytest.mark.slow
def test_the_demo_leaves_an_image_a_picture_and_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "home"))
    result = Demo(output=tmp_path / "demo").run(silent)
    assert len(result.summary) == 2
    stack = open_image(str(result.outputs["emitters"]))
    assert dict(stack.sizes) == {"t": 40, "y": 768, "x": 768}
    assert stack.attrs["pixel_size_nm"] == pytest.approx({"y": 12.5, "x": 12.5})
    picture = np.asarray(Image.open(str(result.outputs["picture"])))
    assert picture.std() > 10
    report = json.loads(Path(str(result.report)).read_text("utf-8"))
    assert report["runs"][0]["tiles"]["count"] > 40, "the demo should show tiling"


def test_a_demo_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be made"):
        Demo(output=tmp_path / "missing" / "demo").run(silent)
