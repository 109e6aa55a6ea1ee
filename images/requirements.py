"""Write what the library and each extra need: `python requirements.py PYPROJECT FOLDER`.

pip installs an extra only together with its distribution; images want the requirements alone, as
a layer that stays when only our own code has changed.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
folder = Path(sys.argv[2])
folder.mkdir(parents=True)
for role, needed in {"base": project["dependencies"], **project["optional-dependencies"]}.items():
    (folder / f"{role}.txt").write_text("".join(f"{line}\n" for line in needed), encoding="utf-8")
