"""`make demo`: the loop on a real scene, without a browser.

Runs through the WPS of the geoportal that is running, or else in this process. Every step is the
same operation with the same inputs either way.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from demo.engines import Engine, InProcess, OverWps
from demo.picture import draw
from landcover.errors import LandcoverError

SCENES = {"sentinel": "shared/demo", "landsat": "shared/demo-landsat"}
"""Each writes to a folder of its own below TARGET."""
REFERENCES = {"sentinel": "reference.gpkg", "landsat": "reference.tif"}
TARGET = Path("demo-output")


def main() -> int:
    """Run the loop and print the accuracy table and where the map and report are."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="?", default="sentinel", choices=sorted(SCENES))
    chosen = parser.parse_args().scene
    try:
        target = TARGET / chosen
        target.mkdir(parents=True, exist_ok=True)
        engine = _engine(target)
        print(f"Making a map of {SCENES[chosen]}, {engine}", file=sys.stderr)
        _run(engine, SCENES[chosen], REFERENCES[chosen], target)
    except LandcoverError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _engine(target: Path) -> Engine:
    state = Path(os.environ.get("GEOPORTAL_STATE", ".geoportal"))
    endpoint = state / "endpoint.json"
    if endpoint.exists():
        running = json.loads(endpoint.read_text())
        return OverWps(running["wps"], running["token"], target)
    return InProcess(target)


def _run(engine: Engine, folder: str, reference: str, target: Path) -> None:
    scene = f"{folder}/scene.tif"
    cut = engine.run(
        "extract-samples", scene=scene, labels=f"{folder}/labels.gpkg", max_per_class=2000
    )
    balanced = engine.run("balance-samples", samples=cut["samples"], threshold=200)
    trained = engine.run(
        "train-classifier", samples=cut["samples"], selection=balanced["selection"]
    )
    checked = engine.run("check-radiometry", scene=scene, model=trained["model"])
    mapped = engine.run("classify-scene", scene=scene, model=trained["model"])
    assessed = engine.run("assess-quality", map=mapped["map"], reference=f"{folder}/{reference}")
    _print_table(engine, trained, assessed)
    print(f"radiometry of the scene  {checked['verdict']}")
    picture = target / "picture.png"
    draw(engine.local(scene), engine.local(mapped["map"]), picture)
    print(f"map      {engine.local(mapped['map'])}")
    print(f"report   {engine.local(assessed['report'])}")
    print(f"picture  {picture}")


def _print_table(engine: Engine, trained: dict[str, str], assessed: dict[str, str]) -> None:
    statistics = json.loads(engine.local(assessed["statistics"]).read_text())
    training = json.loads(engine.local(trained["report"]).read_text())
    print(f"{'class':<14}{'user (PPV)':>12}{'producer (TPR)':>16}")
    for name in statistics["classes"]:
        right, found = (statistics["class"][key][name] for key in ("PPV", "TPR"))
        print(f"{name:<14}{_percent(right):>12}{_percent(found):>16}")
    print(f"against the reference  {_percent(statistics['overall']['Overall ACC'])}")
    print(f"in unseen places       {_with_interval(training)}")
    print(f"by a random split      {_percent(training['accuracy_random'])} (too optimistic)")


def _with_interval(training: dict[str, Any]) -> str:
    lower, upper = map(_percent, training["accuracy_spatial_interval"])
    share = _percent(training["accuracy_spatial"])
    return f"{share} ({lower} to {upper}, {training['groups']} places)"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
