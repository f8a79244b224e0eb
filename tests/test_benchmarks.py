"""The harness of the benchmarks: figures of given times, reports, and the page of all of them."""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import ab
import machine
import pytest
import run

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
OWN = """
from ab import Report, main
main(lambda options: Report("Own", notes=[f"quick: {options.quick}"]))
"""


def report() -> ab.Report:
    found = ab.Comparison({"naive": [2.0, 4.0, 9.0], "retq": [1.0, 1.0, 3.0]})
    made = ab.Report("A title", what="What is compared.", how="How.")
    made.add_times(found, against="naive", caption="Caption:")
    made.add_target("times as fast", found.ratio("naive", "retq"), at_least=2.5)
    made.add_target("seconds", found.times["retq"], at_most=0.5)
    made.notes.append("A note.")
    return made


def test_a_ratio_is_taken_round_by_round() -> None:
    found = ab.Comparison({"a": [2.0, 4.0, 9.0], "b": [1.0, 1.0, 3.0]})
    assert found.times["a"] == ab.Spread(2, 4, 9)
    assert found.ratio("a", "b") == ab.Spread(2, 3, 4)
    assert found.ratio("b", "a") == ab.Spread(1 / 4, 1 / 3, 1 / 2)


def test_all_take_turns_and_none_is_always_first() -> None:
    called: list[str] = []
    runs = {name: lambda name=name: called.append(name) for name in "abc"}
    found = ab.compare(runs, repeat=3, warmup=1)
    assert "".join(called) == "cba" + "abc" + "cba" + "abc"
    assert [len(one) for one in found.samples.values()] == [3, 3, 3]


def test_times_are_those_that_things_take() -> None:
    found = ab.compare({"slow": lambda: time.sleep(0.05)}, repeat=2, warmup=0, per=10)
    assert 0.005 <= found.times["slow"].min <= found.times["slow"].max < 0.1


def test_a_target_is_judged_by_the_median() -> None:
    fast, slow = report().targets
    assert (fast.wanted, fast.found, fast.met) == ("at least 2.5", "3 (2 - 4)", True)
    assert (slow.wanted, slow.found, slow.met) == ("at most 0.5", "1 (1 - 3)", False)


def test_a_report_is_the_same_after_it_was_json() -> None:
    made = report()
    again = ab.Report.of_document(json.loads(json.dumps(made.document())))
    assert again.markdown() == made.markdown()
    lines = made.markdown().splitlines()
    assert lines[0] == "## A title"
    assert "| naive | 2 s | 4 s | 9 s | 1 | 1 | 1 |" in lines
    assert "| retq | 1 s | 1 s | 3 s | 2 | 3 | 4 |" in lines
    assert "| times as fast | at least 2.5 | 3 (2 - 4) | yes |" in lines
    assert "| seconds | at most 0.5 | 1 (1 - 3) | **no** |" in lines
    assert lines[-1] == "- A note."


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(12.34, "12.3 s"), (0.99996, "1000 ms"), (0.0456, "45.6 ms"), (7.89e-7, "0.789 us")],
)
def test_durations_have_three_digits(seconds: float, shown: str) -> None:
    assert ab.duration(seconds) == shown


def test_a_machine_is_described_without_names_and_paths() -> None:
    said = json.dumps(machine.machine().document())
    assert platform_free(said)
    assert machine.machine().cores >= 1
    assert machine.machine().packages["torch"]


def platform_free(text: str) -> bool:
    own = (socket.gethostname(), str(Path.home()), str(ROOT), os.environ.get("USER", "\0"))
    return not any(one in text for one in own if len(one) > 4)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No data sets, and a command line without arguments."""
    monkeypatch.setenv("RETQ_DATA", "/nowhere")
    monkeypatch.setattr(sys, "argv", ["own.py"])
    yield


def test_what_is_missing_is_said(missing: None, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(_: argparse.Namespace) -> ab.Report:
        ab.data_folder()
        raise AssertionError

    ab.main(measure, argparse.ArgumentParser(prog="own.py"))
    assert "Skipped here: no IDRiD and HVDROPDB: set RETQ_DATA" in capsys.readouterr().out
    with pytest.raises(ab.Skipped, match=r'not_there is not .* "retq-hub\[fast\]"'):
        ab.needed("not_there", "fast")


def test_the_page_has_all_that_is_measured_with_the_harness() -> None:
    scripts = [path for path in BENCHMARKS.glob("*.py") if "from ab import" in path.read_text()]
    assert {path.stem for path in scripts} - {"run"} == set(run.ORDER)


def test_the_page_begins_with_the_machine_and_the_targets() -> None:
    results = {"one": {"report": report().document(), "seconds": 90}}
    text = run.page(machine.machine(), 0.25, results)
    assert text.startswith("# Benchmarks\n")
    assert "| other work at the start | load average 0.2 |" in text
    assert "| all of it took | 2 minutes |" in text
    assert "| A title: seconds | at most 0.5 | 1 (1 - 3) | **no** |" in text
    assert text.index("## Targets") < text.index("## A title")
    assert not run.is_well(results["one"])


def test_sections_are_kept_for_the_same_machine_alone(tmp_path: Path) -> None:
    here = machine.machine()
    path = tmp_path / "benchmarks.json"
    assert run.kept(path, here) == {}
    path.write_text(json.dumps({"machine": here.document(), "results": {"one": 1}}))
    assert run.kept(path, here) == {"one": 1}
    path.write_text(json.dumps({"machine": {**here.document(), "cores": 99}, "results": {}}))
    assert run.kept(path, here) == {}


def test_each_benchmark_has_a_section_even_if_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("raise SystemExit('out of order')")
    results = {name: run.ran(tmp_path / f"{name}.py", quick=True) for name in ("own", "broken")}
    assert [run.is_well(one) for one in results.values()] == [True, False]
    text = run.page(machine.machine(), 0, results)
    assert "## Own\n\n- quick: True\n" in text
    assert "## broken\n\nSkipped here: it failed (CalledProcessError).\n" in text
