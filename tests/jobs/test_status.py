from __future__ import annotations

import json

from bridge.errors import VerdictError
from bridge.jobs import status
from bridge.jobs.base import Result


def test_success_has_the_promised_keys_in_order():
    line = status.succeeded(
        "predict", Result(outputs={"image": "a.tif"}), warnings=["w"], seconds=1.23456
    )
    assert list(json.loads(line).items()) == [
        ("zoobridge", 1),
        ("ok", True),
        ("job", "predict"),
        ("outputs", {"image": "a.tif"}),
        ("warnings", ["w"]),
        ("seconds", 1.235),
        ("report", None),
    ]


def test_failure_has_the_promised_keys():
    error = VerdictError("a.tif", "is black", "light", "Open the shutter")
    line = status.failed(None, error.as_dict(), warnings=[], seconds=0)
    assert json.loads(line) == {
        "zoobridge": 1,
        "ok": False,
        "job": None,
        "error": {
            "kind": "VerdictError",
            "what": "a.tif",
            "found": "is black",
            "expected": "light",
            "remedy": "Open the shutter",
        },
        "warnings": [],
        "seconds": 0,
    }


def test_a_failed_result_keeps_its_outputs_and_report():
    result = Result(outputs={"a": 1}, report="r.json", error=VerdictError("a", "is black"))
    read = json.loads(status.succeeded("predict", result, warnings=[], seconds=0))
    assert (read["ok"], read["outputs"], read["report"]) == (False, {"a": 1}, "r.json")
    assert read["error"]["kind"] == "VerdictError"


def test_the_status_is_one_line_of_ascii_whatever_it_holds():
    odd = "Zellkörper\n\u2028 \udcff.tif"  # the last: a file name that isn't UTF-8, as Linux allows
    line = status.failed("x", {"found": odd}, warnings=[odd], seconds=0)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["warnings"] == [odd]


def test_numbers_that_json_cannot_say_are_null():
    result = Result(outputs={"a": [float("nan"), {"b": float("-inf")}, 1.5]})
    read = json.loads(status.succeeded("x", result, warnings=[], seconds=0))
    assert read["outputs"] == {"a": [None, {"b": None}, 1.5]}
